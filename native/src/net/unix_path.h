// The file a Unix socket is bound to: whose it is, who may connect, and whether it is a leftover.
#pragma once

#include <sys/types.h>

#include <string>

namespace martlet {

class UnixPath {
 public:
  UnixPath() = default;
  explicit UnixPath(std::string path) : path_(std::move(path)) {}
  ~UnixPath() { remove(); }
  UnixPath(const UnixPath&) = delete;
  UnixPath& operator=(const UnixPath&) = delete;

  /** Binds; a socket file nobody listens on is removed first, anything else is left alone. 0 or -errno. */
  int bind(int fd);
  /** Before listen(), so that nobody connects who may not: mode (-1: as umask has it), owner and group by name or number. */
  int restrict(int mode, const std::string& owner, const std::string& group);

 private:
  void remove();  // only if it is still the file that bind() made
  bool is_stale() const;

  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace martlet
