#include "tools/chat_input.hpp"

#include "tests/support/catch.hpp"

using namespace troupe::tools;
using Kind = ChatInput::Kind;

TEST_CASE("a line is a message unless it is blank or begins with a slash", "[tools]") {
  ChatInputReader reader;
  CHECK(reader.take("").kind == Kind::nothing);
  CHECK(reader.take(" \t ").kind == Kind::nothing);
  const ChatInput message = reader.take(" hello /there ");
  CHECK(message.kind == Kind::message);
  CHECK(message.text == " hello /there ");
}

TEST_CASE("a command has a name and an argument without the blanks around it", "[tools]") {
  ChatInputReader reader;
  const ChatInput set = reader.take("/set   top-k  5 ");
  CHECK(set.kind == Kind::command);
  CHECK(set.name == "set");
  CHECK(set.argument == "top-k  5");
  CHECK(reader.take("/quit").argument.empty());
  CHECK(reader.take("/").kind == Kind::command);
  CHECK(reader.take("/").name.empty());
}

TEST_CASE("triple quotes hold many lines, commands and blank lines among them", "[tools]") {
  ChatInputReader reader;
  CHECK(reader.take("\"\"\"").kind == Kind::nothing);
  CHECK(reader.in_message());
  CHECK(reader.take("/one").kind == Kind::nothing);
  CHECK(reader.take("").kind == Kind::nothing);
  CHECK(reader.take("  two").kind == Kind::nothing);
  const ChatInput message = reader.take("\"\"\"");
  CHECK_FALSE(reader.in_message());
  CHECK(message.kind == Kind::message);
  CHECK(message.text == "/one\n\n  two");
}

TEST_CASE("text beside the triple quotes belongs to the message", "[tools]") {
  ChatInputReader reader;
  CHECK(reader.take("\"\"\"one").kind == Kind::nothing);
  CHECK(reader.take("two\"\"\" ").text == "one\ntwo");
  CHECK(reader.take("\"\"\"all at once\"\"\"").text == "all at once");
  CHECK(reader.take("\"\"\"pasted\nlines\"\"\"").text == "pasted\nlines");
  CHECK(reader.take("\"\"\"\"\"\"").kind == Kind::nothing);
  CHECK_FALSE(reader.in_message());
}

TEST_CASE("a message that was begun can be dropped", "[tools]") {
  ChatInputReader reader;
  CHECK(reader.take("\"\"\"half").kind == Kind::nothing);
  reader.reset();
  CHECK_FALSE(reader.in_message());
  CHECK(reader.take("next").text == "next");
}

TEST_CASE("values may hold escapes and be quoted", "[tools]") {
  CHECK(unescaped_value("\\n\\n") == "\n\n");
  CHECK(unescaped_value("\" a\\tb \"") == " a\tb ");
  CHECK(unescaped_value("\\\\n") == "\\n");
  CHECK(unescaped_value("a\\") == "a\\");
  CHECK(unescaped_value("\\x") == "\\x");
  CHECK(unescaped_value("\"") == "\"");
}

TEST_CASE("quotes around a file's name are not part of it", "[tools]") {
  CHECK(without_quotes("\"a b.json\"") == "a b.json");
  CHECK(without_quotes("'a b.json'") == "a b.json");
  CHECK(without_quotes("a'b") == "a'b");
  CHECK(without_quotes("\"a'") == "\"a'");
  CHECK(without_quotes("\"") == "\"");
  CHECK(without_quotes("").empty());
}
