#include "report/html.hpp"

#include <gtest/gtest.h>

namespace simclr {
namespace {

TEST(Html, EscapesWhatMarkupIsMadeOf) {
  EXPECT_EQ(escape("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  EXPECT_NE(html_facts({{"<k>", "<v>"}}).find("<dt>&lt;k&gt;</dt><dd>&lt;v&gt;</dd>"),
            std::string::npos);
  EXPECT_EQ(html_facts({{"empty", ""}}).find("empty"), std::string::npos);
  const std::string page = html_page("</title><script>", "", "");
  EXPECT_EQ(page.find("<script>"), std::string::npos);
}

TEST(Html, NumbersOfATableStandToTheRight) {
  const std::string html = html_table({{"name", "top-1", "of"}, {{"<knn>", "9 %", "a"}}, 1, 2});
  EXPECT_NE(html.find("<th scope=\"col\">name</th>"), std::string::npos);
  EXPECT_NE(html.find("<td>&lt;knn&gt;</td><td class=\"number\">9 %</td><td>a</td>"),
            std::string::npos);
}

TEST(Html, PicturesLieInThePage) {
  const auto source = [](std::string_view bytes) {
    const std::string html = html_picture({std::as_bytes(std::span(bytes)), 2, 1}, "\"two\"");
    EXPECT_NE(html.find("alt=\"&quot;two&quot;\""), std::string::npos);
    const std::size_t begin = html.find("base64,") + 7;
    return html.substr(begin, html.find('"', begin) - begin);
  };
  // RFC 4648, section 10.
  EXPECT_EQ(source(""), "");
  EXPECT_EQ(source("f"), "Zg==");
  EXPECT_EQ(source("fo"), "Zm8=");
  EXPECT_EQ(source("foo"), "Zm9v");
  EXPECT_EQ(source("foob"), "Zm9vYg==");
  EXPECT_EQ(source("fooba"), "Zm9vYmE=");
  EXPECT_EQ(source("foobar"), "Zm9vYmFy");
  EXPECT_EQ(source("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace simclr
