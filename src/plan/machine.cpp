// Reads and writes machines as JSON files; defines the preset.

#include "simclr/plan/machine.hpp"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/file.hpp"

namespace simclr {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kFormat = "simclr-machine";

Json to_json(const Link& link) {
  return {{"start_us", link.start_us},
          {"hop_us", link.hop_us},
          {"gbytes_per_second", link.gbytes_per_second}};
}

Json to_json(const Efficiency& e) {
  Json json{{"op", e.shape.kind}, {"share", e.share}};
  const auto add = [&](const char* name, double value) {
    if (value > 0) json[name] = value;
  };
  if (e.shape.half) json["half"] = true;
  add("in_channels", e.shape.in_channels);
  add("out_channels", e.shape.out_channels);
  add("rows", e.shape.rows);
  add("kernel", e.shape.kernel);
  add("stride", e.shape.stride);
  return json;
}

Json to_json(const Machine& m) {
  Json json{{"format", kFormat},
            {"name", m.name},
            {"device", m.kind == DeviceKind::cpu ? "cpu" : "cuda"},
            {"devices_per_node", m.devices_per_node},
            {"threads", m.threads},
            {"f32_gflops", m.f32_gflops},
            {"half_gflops", m.half_gflops},
            {"memory_gbytes_per_second", m.memory_gbytes_per_second},
            {"op_start_us", m.op_start_us},
            {"device_memory_gb", m.device_memory_gb},
            {"node_memory_gb", m.node_memory_gb},
            {"overlaps_gradients", m.overlaps_gradients},
            {"slowdown", m.slowdown},
            {"inside_node", to_json(m.inside)},
            {"between_nodes", to_json(m.between)},
            {"rendering", Json::array()},
            {"efficiencies", Json::array()}};
  for (const RenderingRate& r : m.rendering) {
    json["rendering"].push_back({{"image_size", r.image_size},
                                 {"blur", r.blur},
                                 {"nanoseconds_per_pixel", r.nanoseconds_per_pixel}});
  }
  for (const Efficiency& e : m.efficiencies) json["efficiencies"].push_back(to_json(e));
  return json;
}

/// What a file holds in place of something else.
std::string type_of(const Json& json) {
  if (json.is_array()) return "a list";
  if (json.is_object()) return "an object";
  if (json.is_string()) return "a text";
  if (json.is_number()) return "a number";
  return json.is_boolean() ? "true or false" : "null";
}

/// A field of what must be an object that has it.
const Json& part_of(const Json& json, const std::string& name) {
  if (!json.is_object()) fail("{} stands in place of an object with '{}'", type_of(json), name);
  if (!json.contains(name)) fail("'{}' is missing", name);
  return json.at(name);
}

template <class T>
T field(const Json& json, const std::string& name) {
  const Json& value = part_of(json, name);
  try {
    return value.get<T>();
  } catch (const Json::exception&) {
    fail("'{}' is {}", name, type_of(value));
  }
}

/// A field that may be left out.
template <class T>
T field(const Json& json, const std::string& name, T otherwise) {
  return json.is_object() && !json.contains(name) ? otherwise : field<T>(json, name);
}

/// The entries of a field that is a list.
std::vector<Json> list_of(const Json& json, const std::string& name) {
  const Json& list = part_of(json, name);
  if (!list.is_array()) fail("'{}' is {}, not a list", name, type_of(list));
  return {list.begin(), list.end()};
}

Link parse_link(const Json& json) {
  return {.start_us = field<double>(json, "start_us"),
          .hop_us = field<double>(json, "hop_us"),
          .gbytes_per_second = field<double>(json, "gbytes_per_second")};
}

Efficiency parse_efficiency(const Json& json) {
  return {.shape = {.kind = field<std::string>(json, "op"),
                    .half = field<bool>(json, "half", false),
                    .in_channels = field<double>(json, "in_channels", 0),
                    .out_channels = field<double>(json, "out_channels", 0),
                    .rows = field<double>(json, "rows", 0),
                    .kernel = field<double>(json, "kernel", 0),
                    .stride = field<double>(json, "stride", 0)},
          .share = field<double>(json, "share")};
}

/// JSON's conversion would cut 2.5 to 2 and 2^32 + 1 to 1.
int whole_number(const Json& json, const std::string& name) {
  constexpr double kMost = 1 << 20;
  const auto value = field<double>(json, name);
  if (!(value >= 1 && value <= kMost) || value != std::floor(value)) {
    fail("'{}' is {:g}; allowed: a whole number from 1 to {:.0f}", name, value, kMost);
  }
  return static_cast<int>(value);
}

Machine parse_machine(const Json& json) {
  if (field<std::string>(json, "format", "") != kFormat) fail("its 'format' is not '{}'", kFormat);
  Machine m;
  m.name = field<std::string>(json, "name");
  const auto device = field<std::string>(json, "device");
  if (device != "cpu" && device != "cuda") {
    fail("'device' is '{}', not cpu or cuda", excerpt(device));
  }
  m.kind = device == "cpu" ? DeviceKind::cpu : DeviceKind::cuda;
  m.devices_per_node = whole_number(json, "devices_per_node");
  m.threads = json.contains("threads") ? whole_number(json, "threads") : 1;
  m.f32_gflops = field<double>(json, "f32_gflops");
  m.half_gflops = field<double>(json, "half_gflops", 0);
  m.memory_gbytes_per_second = field<double>(json, "memory_gbytes_per_second");
  m.op_start_us = field<double>(json, "op_start_us", 0);
  m.device_memory_gb = field<double>(json, "device_memory_gb", 0);
  m.node_memory_gb = field<double>(json, "node_memory_gb", 0);
  m.overlaps_gradients = field<bool>(json, "overlaps_gradients", false);
  m.slowdown = field<double>(json, "slowdown", 1);
  m.inside = parse_link(part_of(json, "inside_node"));
  m.between = parse_link(part_of(json, "between_nodes"));
  for (const Json& r :
       json.contains("rendering") ? list_of(json, "rendering") : std::vector<Json>()) {
    m.rendering.push_back({field<double>(r, "image_size"), field<bool>(r, "blur"),
                           field<double>(r, "nanoseconds_per_pixel")});
  }
  for (const Json& e : list_of(json, "efficiencies")) {
    m.efficiencies.push_back(parse_efficiency(e));
  }
  return m;
}

void require_possible(const Machine& m) {
  constexpr double kMost = 1e15;  // no product of two such limits overflows
  const auto in_range = [](std::string_view field, double value, double least) {
    if (value >= least && value <= kMost) return;
    fail("'{}' is {:g}; allowed: {}", field, value,
         least > 0 ? "above 0 and at most 1e15" : "0 to 1e15");
  };
  const auto positive = [&](std::string_view field, double value) {
    in_range(field, value, std::numeric_limits<double>::min());
  };
  const auto not_negative = [&](std::string_view field, double value) {
    in_range(field, value, 0);
  };
  const auto link = [&](const std::string& name, const Link& l) {
    not_negative(name + "/start_us", l.start_us);
    not_negative(name + "/hop_us", l.hop_us);
    positive(name + "/gbytes_per_second", l.gbytes_per_second);
  };
  positive("f32_gflops", m.f32_gflops);
  not_negative("half_gflops", m.half_gflops);
  positive("memory_gbytes_per_second", m.memory_gbytes_per_second);
  not_negative("op_start_us", m.op_start_us);
  not_negative("device_memory_gb", m.device_memory_gb);
  not_negative("node_memory_gb", m.node_memory_gb);
  if (!(m.slowdown >= 1 && m.slowdown <= kMost)) {
    fail("'slowdown' is {:g}; allowed: 1 to 1e15", m.slowdown);
  }
  link("inside_node", m.inside);
  link("between_nodes", m.between);
  for (const RenderingRate& r : m.rendering) {
    positive("rendering/image_size", r.image_size);
    positive("rendering/nanoseconds_per_pixel", r.nanoseconds_per_pixel);
  }
  if (m.kind == DeviceKind::cuda) positive("device_memory_gb", m.device_memory_gb);
  if (m.efficiencies.empty()) fail("'efficiencies' is empty");
  for (const Efficiency& e : m.efficiencies) {
    positive("efficiencies/share", e.share);
    not_negative("efficiencies/in_channels", e.shape.in_channels);
    not_negative("efficiencies/out_channels", e.shape.out_channels);
    not_negative("efficiencies/rows", e.shape.rows);
    not_negative("efficiencies/kernel", e.shape.kernel);
    not_negative("efficiencies/stride", e.shape.stride);
  }
}

}  // namespace

Machine h100_machine() {
  return {
      .name = "H100 80 GB, 8 per node, NVLink inside, one 400 Gb/s link per GPU between nodes",
      .origin = "a preset; not measured on a GPU",
      .kind = DeviceKind::cuda,
      .devices_per_node = 8,
      .threads = 1,
      .f32_gflops = 60e3,
      .half_gflops = 798e3,
      .memory_gbytes_per_second = 3000,
      .op_start_us = 6,  // a kernel within a graph, until it occupies the device
      .device_memory_gb = 80,
      .overlaps_gradients = true,
      // The predicted times are those of the fastest known implementation of a ResNet-50, whose
      // kernels are fused (MLPerf 3.0: 7,160 images/s with 400 images per GPU, 4,908 with 64).
      // Frameworks without fusion take up to 2.5 times as long.
      .slowdown = 2.5,
      // A small collective takes 7 us on one node and 25 to 45 us on 2 to 128 nodes.
      .inside = {.start_us = 4, .hop_us = 1, .gbytes_per_second = 370},
      .between = {.start_us = 15, .hop_us = 3.3, .gbytes_per_second = 45},
      .efficiencies = {{.shape = {.kind = ""}, .share = 0.88},
                       {.shape = {.kind = "conv"}, .share = 0.70},
                       {.shape = {.kind = "matmul"}, .share = 0.70},
                       {.shape = {.kind = "contrastive"}, .share = 0.43}},
  };
}

Machine read_machine(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    refuse("option --machine: '{}' is not accepted; allowed: measured, h100 or a file of limits",
           file.string());
  }
  try {
    Machine machine = parse_machine(Json::parse(read_text_file(file)));
    require_possible(machine);
    machine.origin = file.string();
    return machine;
  } catch (const IoError&) {
    throw;
  } catch (const nlohmann::json::exception& error) {
    refuse("{}: is not a valid machine file: {}", file.string(), json_reason(error.what()));
  } catch (const Error& error) {
    refuse("{}: is not a valid machine file: {}", file.string(), error.what());
  }
}

void write_machine(const std::filesystem::path& file, const Machine& machine) {
  AtomicFile out(file);
  out.write(json_text(to_json(machine), 1) + "\n");
  out.commit();
}

}  // namespace simclr
