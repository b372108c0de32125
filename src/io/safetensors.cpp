#include "simclr/io/safetensors.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little endian; this code does not swap bytes");

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kDataAlignment = 8;  // position of the tensor data in the file
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

/// The product of the extents; more than `most` where it is larger or an extent is negative.
std::uint64_t element_count(const std::vector<std::int64_t>& extents, std::uint64_t most) {
  std::uint64_t count = 1;
  for (const std::int64_t extent : extents) {
    if (extent < 0 || (count > 0 && static_cast<std::uint64_t>(extent) > most / count)) {
      return most + 1;
    }
    count *= static_cast<std::uint64_t>(extent);
  }
  return count;
}

std::string header_text(const SafeTensors& content) {
  nlohmann::ordered_json header;
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

nlohmann::ordered_json read_header(std::ifstream& in, const std::filesystem::path& file,
                                   std::uint64_t file_bytes, std::uint64_t& data_begin) {
  std::array<char, kLengthBytes> raw{};
  in.read(raw.data(), raw.size());
  const auto length = std::bit_cast<std::uint64_t>(raw);
  if (!in || length > kMaxHeaderBytes || kLengthBytes + length > file_bytes) {
    refuse("{} is not a safetensors file: its header is missing or truncated", file.string());
  }
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  data_begin = kLengthBytes + length;
  auto header = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!header.is_object()) {
    refuse("{} is not a safetensors file: its header is not a JSON object", file.string());
  }
  return header;
}

NamedTensor read_tensor(std::ifstream& in, const std::filesystem::path& file,
                        const std::string& name, const nlohmann::ordered_json& entry,
                        std::uint64_t data_begin, std::uint64_t file_bytes) {
  if (entry.value("dtype", "") != "F32") {
    refuse("{}: tensor '{}' does not have dtype F32; convert the file to float32", file.string(),
           name);
  }
  const auto extents = entry.at("shape").get<std::vector<std::int64_t>>();
  if (extents.size() > Shape::kMaxRank) {
    refuse("{}: tensor '{}' has {} dimensions; at most {} are supported", file.string(), name,
           extents.size(), Shape::kMaxRank);
  }
  NamedTensor tensor{name, Shape(extents), {}};
  const auto begin = entry.at("data_offsets").at(0).get<std::uint64_t>();
  const auto end = entry.at("data_offsets").at(1).get<std::uint64_t>();
  const std::uint64_t data_bytes = file_bytes - data_begin;
  if (begin > end || end > data_bytes ||
      element_count(extents, data_bytes) * sizeof(float) != end - begin) {
    refuse("{}: tensor '{}' lies outside the file or does not fit its shape (truncated file?)",
           file.string(), name);
  }
  tensor.values.resize((end - begin) / sizeof(float));
  in.seekg(static_cast<std::streamoff>(data_begin + begin));
  in.read(reinterpret_cast<char*>(tensor.values.data()), static_cast<std::streamsize>(end - begin));
  if (!in) fail_for(Cause::io, "cannot read tensor '{}' of {}", name, file.string());
  return tensor;
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
  std::ifstream in(file, std::ios::binary);
  std::error_code error;
  const std::uint64_t file_bytes = std::filesystem::file_size(file, error);
  if (!in || error) refuse("cannot read {}: no such file, or no permission", file.string());
  std::uint64_t data_begin = 0;
  const auto header = read_header(in, file, file_bytes, data_begin);
  SafeTensors content;
  try {
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        content.metadata = entry.get<std::map<std::string, std::string>>();
      } else {
        content.tensors.push_back(read_tensor(in, file, name, entry, data_begin, file_bytes));
      }
    }
  } catch (const nlohmann::json::exception& json_error) {
    refuse("{} has a malformed safetensors header: {}", file.string(), json_error.what());
  }
  return content;
}

}  // namespace simclr
