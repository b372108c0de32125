#pragma once

#include <string>

namespace simclr {

/// The text of a JSON value for a file or another rank. Replaces bytes that are not UTF-8, which
/// names of files may have and JSON may not. `indent`: blanks of a level; -1: all in one line.
template <class Json>
std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace simclr
