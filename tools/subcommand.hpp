#pragma once
// The subcommands, one file each. Each takes the arguments after its own name and returns the exit status.

#include <string>
#include <vector>

namespace troupe::tools {

constexpr int exit_ok = 0;
constexpr int exit_failed = 1;  ///< the operation failed
constexpr int exit_usage = 2;   ///< the command line made no sense

using Arguments = std::vector<std::string>;

int run_bench(const Arguments& arguments);
int run_bench_model(const Arguments& arguments);
int run_chat(const Arguments& arguments);
int run_convert(const Arguments& arguments);
int run_generate(const Arguments& arguments);
int run_inspect(const Arguments& arguments);
int run_logits(const Arguments& arguments);
int run_perplexity(const Arguments& arguments);
int run_template(const Arguments& arguments);
int run_tokenize(const Arguments& arguments);
int run_train(const Arguments& arguments);

}  // namespace troupe::tools
