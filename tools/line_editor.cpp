// The editor of chat, over libedit. Characters are read here rather than by libedit, which would neither wake
// up for Ctrl-C nor keep a pasted text of many lines together.

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <deque>

#include "base/utf8.hpp"
#include "tools/chat_history.hpp"
#include "tools/line_source.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr std::string_view paste_on = "\x1b[?2004h";  // xterm: pasted text comes between the next two
constexpr std::string_view paste_off = "\x1b[?2004l";
constexpr std::string_view paste_begin = "\x1b[200~";
constexpr std::string_view paste_end = "\x1b[201~";
constexpr wchar_t quote_next = 0x16;  // Ctrl-V: libedit inserts the next character whatever it is

// libedit turns characters into bytes by the locale's rules; a terminal without a locale is taken as UTF-8.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

// The terminal of standard input between two reads: keys are neither echoed nor interpreted, except Ctrl-C,
// Ctrl-Z and the like. Echoed, they would stand in the middle of an answer; and the canonical mode turns a
// Ctrl-D that is typed ahead into a NUL.
class QuietInput {
 public:
  QuietInput() : valid_(::tcgetattr(STDIN_FILENO, &original_) == 0) { begin(); }
  ~QuietInput() { end(); }
  QuietInput(const QuietInput&) = delete;
  QuietInput& operator=(const QuietInput&) = delete;

  void begin() const {
    if (!valid_) return;
    termios quiet = original_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
  }
  void end() const {
    if (valid_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &original_);
  }

 private:
  termios original_{};
  bool valid_;
};

class LineEditor final : public LineSource {
 public:
  LineEditor(int ui_fd, std::string history_file, std::vector<std::string> words)
      : ui_fd_(ui_fd),
        history_file_(std::move(history_file)),
        words_(std::move(words)),
        history_(make_history_lines()) {
    use_utf8_locale();
    edit_ = ::el_init("troupe", stdin, ui_fd == STDERR_FILENO ? stderr : stdout, stderr);
    if (edit_ == nullptr || history_ == nullptr) return;
    ::el_set(edit_, EL_CLIENTDATA, this);
    ::el_set(edit_, EL_EDITOR, "emacs");
    ::el_set(edit_, EL_SIGNAL, 0);                                 // signals.hpp has them
    ::el_set(edit_, EL_SETTY, "-x", "-icanon", "-echo", nullptr);  // as QuietInput has it
    ::el_set(edit_, EL_PROMPT, &LineEditor::prompt_text);
    ::el_set(edit_, EL_GETCFN, &LineEditor::next_character);
    ::el_set(edit_, EL_ADDFN, "troupe-complete", "complete a command", &LineEditor::complete);
    bind("^I", "troupe-complete");
    bind("^R", "em-inc-search-prev");
    bind("^W", "ed-delete-prev-word");
    bind("\\e[3~", "ed-delete-next-char");
    bind("\\e[1;5C", "em-next-word");
    bind("\\e[1;5D", "ed-prev-word");
    ::el_set(edit_, EL_HIST, ::history, history_.get());
    history_file_.load(history_.get());
    ::el_source(edit_, nullptr);  // the user's own key bindings: ~/.editrc
    catch_suspend(true);
  }

  ~LineEditor() override {
    if (edit_ != nullptr) ::el_end(edit_);
    catch_suspend(false);
  }

  void attend() override {
    if (take_suspend()) suspend();
    if (take_continued()) quiet_.begin();
  }

  ReadLine read(const std::string& prompt) override {
    if (edit_ == nullptr || history_ == nullptr)
      return {ReadLine::Kind::failed, "the terminal cannot be used"};
    prompt_ = prompt;
    stop_ = Stop::none;
    pasting_ = false;
    mark_pastes(true);
    int count = 0;
    const char* line = ::el_gets(edit_, &count);
    mark_pastes(false);
    if (stop_ != Stop::none) {
      write_terminal("\n");
      return {stop_ == Stop::interrupt ? ReadLine::Kind::interrupted : ReadLine::Kind::terminated, typed_};
    }
    if (line == nullptr || count <= 0) {
      write_terminal("\n");
      return {ReadLine::Kind::end, {}};
    }
    std::string text(line, static_cast<std::size_t>(count));
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return {ReadLine::Kind::line, std::move(text)};
  }

  void remember(const std::string& line) override {
    if (history_ == nullptr || line.empty()) return;
    HistEvent event;
    ::history(history_.get(), &event, H_ENTER, line.c_str());
    history_file_.add(line);
  }

 private:
  enum class Stop { none, interrupt, terminate };

  void bind(const char* key, const char* function) { ::el_set(edit_, EL_BIND, key, function, nullptr); }

  void write_terminal(std::string_view bytes) const {
    [[maybe_unused]] const auto ignored = ::write(ui_fd_, bytes.data(), bytes.size());
  }

  void mark_pastes(bool on) const {
    if (sequences_) write_terminal(on ? paste_on : paste_off);
  }

  static LineEditor* self(EditLine* edit) {
    void* data = nullptr;
    ::el_get(edit, EL_CLIENTDATA, &data);
    return static_cast<LineEditor*>(data);
  }

  static char* prompt_text(EditLine* edit) { return self(edit)->prompt_.data(); }

  static int next_character(EditLine* edit, wchar_t* character) { return self(edit)->next(character); }

  static unsigned char complete(EditLine* edit, int) { return self(edit)->complete_word(); }

  // libedit's getc: 1 and a character, 0 at the end, -1 to give up the line.
  int next(wchar_t* character) {
    while (ready_.empty()) {
      const int got = read_bytes();
      if (got <= 0) return got;
      decode();
    }
    *character = ready_.front();
    ready_.pop_front();
    return 1;
  }

  // Waits for bytes or a signal. 1: bytes are there, or a signal was dealt with; 0: end; -1: give up the
  // line.
  int read_bytes() {
    if (!act_on_signals()) return -1;
    // An escape that nothing follows for a moment is the key, not the beginning of a sequence.
    const bool half_sequence = !bytes_.empty();
    constexpr int sequence_wait_ms = 30;
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {wake_fd(), POLLIN, 0}};
    const int count = ::poll(waits, 2, half_sequence ? sequence_wait_ms : -1);
    if (count < 0) return errno == EINTR ? 1 : 0;
    if (count == 0) {
      flush_ = true;
      return 1;
    }
    if (waits[1].revents != 0) {
      drain_wake();
      return act_on_signals() ? 1 : -1;
    }
    char chunk[4096];
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? 1 : 0;
    if (got == 0) return 0;
    bytes_.append(chunk, static_cast<std::size_t>(got));
    return 1;
  }

  bool act_on_signals() {
    if (terminated() != 0) stop_ = Stop::terminate;
    if (take_interrupt()) stop_ = Stop::interrupt;
    if (stop_ != Stop::none) {
      const LineInfo* line = ::el_line(edit_);
      typed_.assign(line->buffer, line->lastchar);
      bytes_.clear();
      ready_.clear();
      return false;
    }
    const bool suspended = take_suspend();
    if (suspended) {
      ::el_set(edit_, EL_PREP_TERM, 0);
      mark_pastes(false);
      suspend();
    }
    if (take_continued() || suspended) {  // by SIGSTOP perhaps: the shell may have changed the terminal
      quiet_.begin();
      ::el_set(edit_, EL_PREP_TERM, 1);
      mark_pastes(true);
      write_terminal("\n");
      ::el_set(edit_, EL_REFRESH);
    }
    if (take_resized()) redraw_resized();
    return true;
  }

  // libedit forgets where it drew: the line is wiped, from where it begins on a terminal that has wrapped it
  // anew.
  void redraw_resized() {
    const LineInfo* line = ::el_line(edit_);
    const std::string before_cursor = prompt_ + std::string(line->buffer, line->cursor);
    const std::size_t rows = display_columns(before_cursor) / terminal_columns(ui_fd_);
    if (sequences_ && rows > 0) write_terminal("\x1b[" + std::to_string(rows) + "A");
    if (sequences_) write_terminal("\r\x1b[J");
    ::el_resize(edit_);
    ::el_set(edit_, EL_REFRESH);
    wrap_softly(prompt_ + std::string(line->buffer, line->lastchar), display_columns(before_cursor));
  }

  // Writes over the line that libedit has just drawn. Where a row ends in a blank, libedit goes to the next
  // one with a newline, behind which a terminal does not wrap anew at the next change of its size.
  void wrap_softly(const std::string& text, std::size_t cursor) const {
    std::size_t characters = 0;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7F) return;  // libedit shows it in another way
      characters += (byte & 0xC0U) != 0x80 ? 1 : 0;
    }
    const std::size_t width = terminal_columns(ui_fd_);
    if (!sequences_ || text.size() <= width || characters != display_columns(text)) return;
    const auto move = [](std::size_t count, char where) {
      return count == 0 ? std::string() : "\x1b[" + std::to_string(count) + where;
    };
    const std::size_t cursor_row = cursor / width;
    const std::size_t last_row = (characters - 1) / width;  // a full row leaves the terminal's cursor in it
    std::string out = "\r" + move(cursor_row, 'A') + text + "\r";
    out += cursor_row > last_row ? move(1, 'B') : move(last_row - cursor_row, 'A');
    out += move(cursor % width, 'C');
    write_terminal(out);
  }

  void suspend() {
    quiet_.end();
    suspend_self();
    static_cast<void>(take_continued());
    quiet_.begin();
  }

  // Moves whole characters from bytes_ to ready_; what a paste holds is quoted, so that its newlines do not
  // send and its tabs do not complete.
  void decode() {
    std::size_t at = 0;
    while (at < bytes_.size()) {
      const std::string_view rest = std::string_view(bytes_).substr(at);
      const std::string_view border = pasting_ ? paste_end : paste_begin;
      if (rest.substr(0, border.size()) == border) {
        pasting_ = !pasting_;
        at += border.size();
        continue;
      }
      if (!flush_ && border.substr(0, rest.size()) == rest) break;  // perhaps the beginning of a border
      const Utf8Step step = utf8_step(rest);
      if (step.truncated && !flush_) break;
      const char32_t code = step.valid ? step.code : U'\uFFFD';
      push(code == '\r' && pasting_ ? U'\n' : code);
      at += step.bytes;
    }
    bytes_.erase(0, at);
    flush_ = false;
  }

  void push(char32_t code) {
    if (pasting_ && (code < 0x20 || code == 0x7F)) {
      if (code != '\n' && code != '\t') return;  // nothing that a message needs
      ready_.push_back(quote_next);
    }
    if (code != 0) ready_.push_back(static_cast<wchar_t>(code));  // libedit stops on a NUL
  }

  // Completes the command at the beginning of the line as far as it is unique.
  unsigned char complete_word() {
    const LineInfo* line = ::el_line(edit_);
    const std::string typed(line->buffer, line->cursor);
    if (typed.empty()) return CC_ERROR;
    std::string common;
    std::size_t matches = 0;
    for (const std::string& word : words_) {
      if (word.compare(0, typed.size(), typed) != 0) continue;
      if (matches++ == 0) common = word;
      std::size_t same = 0;
      while (same < common.size() && same < word.size() && common[same] == word[same]) ++same;
      common.resize(same);
    }
    if (matches == 0) return CC_ERROR;
    std::string rest = common.substr(typed.size());
    if (matches == 1) rest += ' ';
    if (rest.empty()) return CC_ERROR;
    return ::el_insertstr(edit_, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  QuietInput quiet_;  // before libedit looks at the terminal, until after it has left it
  const bool sequences_ = terminal_knows_sequences();
  int ui_fd_;
  ChatHistory history_file_;
  std::vector<std::string> words_;
  HistoryLines history_;  // of this session, and what the file had at its beginning
  EditLine* edit_ = nullptr;
  std::string prompt_;
  std::string bytes_;          // read, not decoded yet
  std::deque<wchar_t> ready_;  // decoded, not taken yet
  bool pasting_ = false;
  bool flush_ = false;  // decode() should not wait for more
  Stop stop_ = Stop::none;
  std::string typed_;  // the line when it was given up
};

}  // namespace

std::unique_ptr<LineSource> make_line_editor(int ui_fd, const std::string& history_file,
                                             std::vector<std::string> words) {
  return std::make_unique<LineEditor>(ui_fd, history_file, std::move(words));
}

}  // namespace troupe::tools
