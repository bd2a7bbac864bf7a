#include "net/unix_path.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>

#include "net/sockets.h"

namespace martlet {

namespace {

bool fill(const std::string& path, sockaddr_un* out) {
  *out = {};
  out->sun_family = AF_UNIX;
  if (path.size() >= sizeof out->sun_path) return false;
  memcpy(out->sun_path, path.c_str(), path.size() + 1);
  return true;
}

template <typename Id>
bool parse_id(const std::string& text, Id* id) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id);
  return error == std::errc{} && end == text.data() + text.size();
}

int user_id(const std::string& name, uid_t* id) {
  if (parse_id(name, id)) return 0;
  passwd* entry = getpwnam(name.c_str());
  if (!entry) return -ENOENT;
  *id = entry->pw_uid;
  return 0;
}

int group_id(const std::string& name, gid_t* id) {
  if (parse_id(name, id)) return 0;
  ::group* entry = getgrnam(name.c_str());
  if (!entry) return -ENOENT;
  *id = entry->gr_gid;
  return 0;
}

}  // namespace

int UnixPath::bind(int fd) {
  sockaddr_un address;
  if (!fill(path_, &address)) return -ENAMETOOLONG;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  int result = sockets::bind(fd, generic, sizeof address);
  if (result == -EADDRINUSE && is_stale()) {
    ::unlink(path_.c_str());
    result = sockets::bind(fd, generic, sizeof address);
  }
  if (result < 0) return result;
  struct stat file;
  if (::stat(path_.c_str(), &file) < 0) return -errno;
  device_ = file.st_dev;
  inode_ = file.st_ino;
  return 0;
}

bool UnixPath::is_stale() const {
  struct stat file;
  if (::lstat(path_.c_str(), &file) < 0 || !S_ISSOCK(file.st_mode)) return false;
  sockaddr_un address;
  fill(path_, &address);
  int probe = sockets::socket(AF_UNIX);
  if (probe < 0) return false;
  int result = sockets::connect(probe, reinterpret_cast<sockaddr*>(&address), sizeof address);
  sockets::close(probe);
  return result == -ECONNREFUSED;  // anything else: somebody listens, or we cannot know
}

int UnixPath::restrict(int mode, const std::string& owner, const std::string& group) {
  auto user = static_cast<uid_t>(-1);
  auto members = static_cast<gid_t>(-1);
  if (!owner.empty()) {
    if (int result = user_id(owner, &user); result < 0) return result;
  }
  if (!group.empty()) {
    if (int result = group_id(group, &members); result < 0) return result;
  }
  if ((!owner.empty() || !group.empty()) && ::chown(path_.c_str(), user, members) < 0) return -errno;
  if (mode >= 0 && ::chmod(path_.c_str(), static_cast<mode_t>(mode)) < 0) return -errno;
  return 0;
}

void UnixPath::remove() {
  struct stat file;
  if (inode_ == 0 || ::lstat(path_.c_str(), &file) < 0) return;
  if (file.st_dev == device_ && file.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace martlet
