#include "report/page.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <span>

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

/// The text of the data's element as a browser finds it.
std::string data_of(const std::string& page) {
  const std::string before = R"(id="data">)";
  const std::size_t begin = page.find(before) + before.size();
  return page.substr(begin, page.find('<', begin) - begin);
}

TEST(Page, HoldsTheDataInItsElement) {
  const Json data{{"runs", {1, 2.5, nullptr, "DATA"}}};
  const std::string page = fill_page(data);
  EXPECT_EQ(Json::parse(data_of(page)), data);
  // The rest is the template.
  std::string around(page_template());
  around.replace(around.find(">DATA<") + 1, 4, data_of(page));
  EXPECT_EQ(page, around);
}

TEST(Page, NoTextEndsTheDataElement) {
  for (const std::string text : {"</script><script>alert(1)</script>", "<!-- <script>", "]]>",
                                 "\"'\\ \n\t\u0001", "\u00e9\u4e2d\U0001f600", "&lt;"}) {
    const Json data{{text, text}};
    EXPECT_EQ(Json::parse(data_of(fill_page(data))), data) << text;
  }
}

TEST(Page, ReplacesBytesThatAreNotUtf8) {
  const Json data = Json::parse(data_of(fill_page({{"name", "a\xff\xc3"}})));
  EXPECT_EQ(data.at("name"), "a\ufffd\ufffd");
}

TEST(Page, WritesNonFiniteNumbersAsNull) {
  const Json data{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                  0.1};
  EXPECT_EQ(data_of(fill_page(data)), "[null,null,0.1]");
}

TEST(Page, Base64) {
  const auto encoded = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };
  // RFC 4648, section 10.
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foob"), "Zm9vYg==");
  EXPECT_EQ(encoded("fooba"), "Zm9vYmE=");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace simclr
