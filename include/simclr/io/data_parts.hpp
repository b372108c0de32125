#pragma once
// Names of parts of a data set, such as train and test: files and folders follow the same rule.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace simclr {

/// What two names of different parts must have in common beside the parts' words.
enum class OtherWords : std::uint8_t {
  any,    ///< nothing: cats_train and dogs_test are two parts
  alike,  ///< all other words: cats_train and cats_test are two parts, train and test_tube are not
};

/// The first two names that stand for different parts of a data set, if there are any. A name
/// stands for the parts that it has among its words: letters without others between them, where
/// "myTrainSet1" is the words my, train and set. Words that often mean something else (dev, tr, ts,
/// unlabeled) count only when fewer names stand for no part than for one.
std::optional<std::pair<std::string, std::string>> different_parts(
    const std::vector<std::string>& names, OtherWords other_words);

}  // namespace simclr
