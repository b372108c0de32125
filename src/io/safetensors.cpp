#include "simclr/io/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/file.hpp"
#include "simclr/io/retry.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little endian; this code does not swap bytes");

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kDataAlignment = 8;  // position of the tensor data in the file
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

std::string header_text(const SafeTensors& content) {
  Json header;
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  std::uint64_t offset = 0;
  for (const auto& tensor : content.tensors) {
    require(static_cast<std::size_t>(tensor.shape.elements()) == tensor.values.size(),
            "a tensor must have as many values as its shape says");
    require(!header.contains(tensor.name), "tensor names must be unique");
    const std::uint64_t end = offset + tensor.values.size() * sizeof(float);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape.extents()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = json_text(header);
  text.resize((text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
  return text;
}

/// Parses the header; refuses names that occur twice, of which a parser keeps one.
Json parse_header(std::string_view text, const std::filesystem::path& file) {
  std::set<std::string> names;
  std::string twice;
  const auto check_name = [&](int depth, Json::parse_event_t event, const Json& name) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(name).second) twice = name;
    return true;
  };
  Json header = Json::parse(text, check_name, false);
  if (!header.is_object()) {
    refuse("{}: is not a safetensors file: its header is not a JSON object", file.string());
  }
  if (!twice.empty()) refuse("{}: its header names '{}' twice", file.string(), twice);
  return header;
}

/// Takes the header off the beginning of a file's bytes, so that the data remain.
Json take_header(std::string_view& bytes, const std::filesystem::path& file) {
  std::uint64_t length = bytes.size();  // too much
  if (bytes.size() >= kLengthBytes) std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxHeaderBytes || kLengthBytes + length > bytes.size()) {
    refuse("{}: is not a safetensors file: its header is missing or truncated", file.string());
  }
  const std::string_view text = bytes.substr(kLengthBytes, length);
  bytes.remove_prefix(kLengthBytes + length);
  return parse_header(text, file);
}

/// Reads whole numbers, 0 or more; throws RefusedError for anything else.
std::vector<std::uint64_t> numbers(const Json& entry, const char* field, const std::string& where) {
  const Json& list = entry.at(field);
  if (!list.is_array() || !std::all_of(list.begin(), list.end(),
                                       [](const Json& n) { return n.is_number_unsigned(); })) {
    refuse("{}: its '{}' is not a list of whole numbers", where, field);
  }
  return list.get<std::vector<std::uint64_t>>();
}

/// A tensor's place within the data of a file.
struct Place {
  std::string name;
  Shape shape;
  std::uint64_t begin = 0, end = 0;
};

Place parse_place(const std::string& name, const Json& entry, const std::filesystem::path& file,
                  std::uint64_t data_bytes) {
  const std::string where = fmt::format("{}: tensor '{}'", file.string(), name);
  if (!entry.is_object()) refuse("{}: is not described by a JSON object", where);
  if (entry.at("dtype") != "F32") {
    refuse("{}: its dtype is not F32; convert the file to float32", where);
  }
  const std::vector<std::uint64_t> extents = numbers(entry, "shape", where);
  if (extents.size() > Shape::kMaxRank) {
    refuse("{}: has {} dimensions; at most {} are supported", where, extents.size(),
           Shape::kMaxRank);
  }
  const std::vector<std::uint64_t> range = numbers(entry, "data_offsets", where);
  if (range.size() != 2) refuse("{}: its 'data_offsets' are not a begin and an end", where);
  const auto elements = checked_product(extents, data_bytes);
  if (range[0] > range[1] || range[1] > data_bytes || !elements ||
      *elements * sizeof(float) != range[1] - range[0]) {
    refuse("{}: lies outside the file or does not fit its shape (truncated file?)", where);
  }
  return {name, Shape(std::vector<std::int64_t>(extents.begin(), extents.end())), range[0],
          range[1]};
}

/// As the format demands: otherwise a small file could stand for any number of tensors.
void require_each_byte_once(const std::vector<Place>& places, const std::filesystem::path& file,
                            std::uint64_t data_bytes) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  ranges.reserve(places.size());
  for (const Place& place : places) ranges.emplace_back(place.begin, place.end);
  std::ranges::sort(ranges);
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) {
      refuse("{}: its tensors {} at byte {} of the data", file.string(),
             begin < at ? "overlap" : "leave a gap", std::min(begin, at));
    }
    at = end;
  }
  if (at != data_bytes) {
    refuse("{}: has {} bytes of data, its tensors {}", file.string(), data_bytes, at);
  }
}

std::vector<float> values_at(const Place& place, std::string_view data) {
  const std::uint64_t bytes = place.end - place.begin;
  std::vector<float> values(bytes / sizeof(float));
  if (bytes > 0) std::memcpy(values.data(), data.data() + place.begin, bytes);
  return values;
}

}  // namespace

void write_safetensors(const std::filesystem::path& file, const SafeTensors& content) {
  const std::string header = header_text(content);
  const auto length = static_cast<std::uint64_t>(header.size());
  write_file(file, [&](AtomicFile& out) {
    out.write(std::as_bytes(std::span(&length, 1)));
    out.write(header);
    for (const auto& tensor : content.tensors) out.write(std::as_bytes(std::span(tensor.values)));
  });
}

SafeTensors read_safetensors(const std::filesystem::path& file) {
  std::error_code error;
  // Does not wait for what another process may write to a pipe.
  const bool plain = std::filesystem::is_regular_file(file, error);
  if (!plain && !is_transient(error.value())) {
    if (error) refuse_unreadable(file, error.value());
    refuse("{}: is not a plain file", file.string());
  }
  const std::string content_bytes = read_text_file(file);
  std::string_view data = content_bytes;
  const Json header = take_header(data, file);
  SafeTensors content;
  std::vector<Place> places;
  try {
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        content.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        places.push_back(parse_place(name, entry, file, data.size()));
      }
    }
  } catch (const Json::exception& malformed) {
    refuse("{}: has a malformed safetensors header: {}", file.string(),
           json_reason(malformed.what()));
  }
  require_each_byte_once(places, file, data.size());
  for (const Place& place : places) {
    content.tensors.push_back({place.name, place.shape, values_at(place, data)});
  }
  return content;
}

}  // namespace simclr
