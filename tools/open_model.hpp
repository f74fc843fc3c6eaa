#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/cli_options.hpp"
#include "tools/terminal.hpp"
#include "troupe/error.hpp"
#include "troupe/model.hpp"

namespace troupe::tools {

/// The text of --chat-template FILE. Errors: io, too_large, cancelled, bad_argument (empty), bad_file (it
/// does not parse); all name the file.
Result<std::string> read_chat_template(const std::string& path);

/// Opens the model that the flags name, with their chat template if they give one, and a progress bar on a
/// terminal; Ctrl-C gives up (Errc::cancelled).
/// `vocabulary_optional`: see ModelOptions.
Result<std::shared_ptr<const Model>> open_model(const ModelFlags& flags, std::uint32_t threads,
                                                bool vocabulary_optional = false);

/// Whether the chat template that the model has, if any, can be parsed: known before the first message is
/// sent. Errors: bad_file, naming the option that gives another.
Status check_chat_template(const Model& model);

/// Only the vocabulary of the file that the flags name: quick, and works for files without weights.
Result<std::unique_ptr<Tokenizer>> open_tokenizer(const ModelFlags& flags);

/// Says the error on standard error; the exit status for it: stopped by a signal, or failed.
int report(const Error& error);

/// The exit status of a program that has written all it has to say: complains when the output failed.
int finish_output(const Output& output, int status);

}  // namespace troupe::tools
