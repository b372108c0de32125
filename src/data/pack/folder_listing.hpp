#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace simclr {

/// The images below a folder. Class folders may have subfolders.
struct FolderListing {
  std::vector<std::string> files;    ///< relative to the folder, in the order of their names
  std::vector<std::string> classes;  ///< the names of its folders; empty when it has none
};

/// Lists JPEG and PNG files: those named so, and all others that begin like one. Warns once about
/// everything else, counted by kind. Throws RefusedError for links that lead nowhere, for class
/// folders without images unless `allow_empty_classes`, and for a folder without any.
FolderListing list_images(const std::filesystem::path& input, bool allow_empty_classes);

}  // namespace simclr
