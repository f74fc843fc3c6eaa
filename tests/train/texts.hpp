#pragma once
// A little text to train on, and runs that take no time.

#include <string>

#include "support/temporary_folder.hpp"
#include "train/trainer.hpp"

namespace troupe::test {

/// About 2 kB that do not repeat themselves: counted verses, with some characters of two bytes.
inline std::string verses(std::size_t count = 24) {
  const char* const who[] = {"fox", "wren", "bear", "hen", "moth", "eel", "owl"};
  const char* const what[] = {"sang to", "ran past", "woke", "fed", "lost"};
  const char* const where[] = {"by the mill", "in May", "on a hill", "at noon", "under ash", "near Orléans"};
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out += std::to_string(i * 37 % 101) + ". The " + who[i % 7] + " " + what[i * 3 % 5] + " the " +
           who[(i * 5 + 2) % 7] + " " + where[i * 7 % 6] + ", " + std::to_string(i * i) + " times: so it “" +
           what[(i + 1) % 5] + "” me.\n";
  }
  return out;
}

/// A model of one small layer, 12 steps with everything switched on that a step can have.
inline train::TrainOptions quick_run(const TemporaryFolder& folder, const std::string& name) {
  train::TrainOptions o;
  o.data = {folder.file("text.txt", verses())};
  o.shape.layers = 1, o.shape.width = 32, o.shape.heads = o.shape.kv_heads = 2, o.shape.ffn = 48;
  o.shape.context = 16;
  o.out = folder.path() / (name + ".gguf");
  o.name = "quick";
  o.batch_windows = 3;
  o.accumulate = 2;
  o.schedule.steps = 12;
  o.schedule.warmup_steps = 3;
  o.dropout = 0.1;
  o.validate_every = 3;
  o.validation_windows = 5;
  o.save_every = 0;
  return o;
}

}  // namespace troupe::test
