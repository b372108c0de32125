#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace simclr {

/// What a benchmark prints: a table, or the same as one JSON object.
struct BenchReport {
  std::string table;                                ///< headings, then a line for each row
  nlohmann::json rows = nlohmann::json::array();    ///< "results"
  nlohmann::json facts = nlohmann::json::object();  ///< facts printed beside the results

  void add(const std::string& line, nlohmann::json row) {
    table += line + "\n";
    rows.push_back(std::move(row));
  }
  [[nodiscard]] std::string text(bool as_json) const {
    if (!as_json) return table;
    nlohmann::json object = facts;
    object["results"] = rows;
    return object.dump() + "\n";
  }
};

}  // namespace simclr
