/* Stands between a process and its file system calls (LD_PRELOAD). Watches files under one directory: counts calls, writes
 * them to a log, and does to the n-th what the rules say. Rules are in a file that is read again before every call, so a
 * test changes the weather while the process runs. Counters start anew when the rules change.
 *
 *   FAULTS_ROOT   directory watched            FAULTS_RULES  file of rules, may be missing
 *   FAULTS_LOG    file to append the log to, optional; one line a call: name, result, path, further words, data in hex
 *
 *   FAULTS_SENDS  1: what goes to sockets is logged too, before it goes; the path is then the descriptor's number
 *
 *   rule = call n action [part]   one a line; call: open read write fsync rename unlink truncate any (but read); n: 3 = the
 *                                 third, 3+ = from it on; part: of the path, only such calls count
 *   action = EIO | ENOSPC | EMFILE | short (half of the bytes) | kill (before the call) | killed (after it)
 *            | torn (half of the bytes, then killed) | hang (it never returns)
 *
 * write stands for write, pwrite, writev, pwritev; read for read, pread, preadv; fsync for fdatasync as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MAX_FD = 4096, MAX_RULES = 32, RULES_SIZE = 2048 };
enum action { PASS, FAIL, SHORT, KILL_BEFORE, KILL_AFTER, TORN, HANG };

struct rule { char call[16]; char part[64]; long n; int onwards; enum action action; int error; long seen; };
struct verdict { enum action action; int error; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[MAX_FD];
static struct stat identities[MAX_FD];
static struct rule rules[MAX_RULES];
static int rule_count;
static char rules_text[RULES_SIZE];

#define REAL(type, name) \
  static type real; \
  if (real == NULL) real = (type)dlsym(RTLD_NEXT, name)

static int watched(const char *path) {
  const char *root = getenv("FAULTS_ROOT");
  return root != NULL && path != NULL && strncmp(path, root, strlen(root)) == 0;
}

static void parse_rules(void) {
  rule_count = 0;
  char copy[RULES_SIZE];
  strcpy(copy, rules_text);
  char *rest = NULL;
  for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    struct rule rule = {0};
    char n[16], action[16];
    if (rule_count == MAX_RULES || sscanf(line, "%15s %15s %15s %63s", rule.call, n, action, rule.part) < 3) continue;
    rule.n = atol(n);
    rule.onwards = strchr(n, '+') != NULL;
    rule.action = FAIL;
    if (strcmp(action, "short") == 0) rule.action = SHORT;
    else if (strcmp(action, "kill") == 0) rule.action = KILL_BEFORE;
    else if (strcmp(action, "killed") == 0) rule.action = KILL_AFTER;
    else if (strcmp(action, "torn") == 0) rule.action = TORN;
    else if (strcmp(action, "hang") == 0) rule.action = HANG;
    else rule.error = strcmp(action, "ENOSPC") == 0 ? ENOSPC : strcmp(action, "EMFILE") == 0 ? EMFILE : EIO;
    rules[rule_count++] = rule;
  }
}

/* With raw system calls: this file's own must not be seen by it. */
static void read_rules(void) {
  char text[RULES_SIZE] = {0};
  const char *path = getenv("FAULTS_RULES");
  long fd = path == NULL ? -1 : syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
  if (fd >= 0) {
    long length = syscall(SYS_read, fd, text, RULES_SIZE - 1);
    syscall(SYS_close, fd);
    if (length < 0) text[0] = 0;
  }
  if (strcmp(text, rules_text) == 0) return;
  strcpy(rules_text, text);
  parse_rules();
}

static int concerns(const struct rule *rule, const char *call, const char *path) {
  if (strcmp(rule->call, "any") == 0 ? strcmp(call, "read") == 0 : strcmp(rule->call, call) != 0) return 0;
  return strstr(path, rule->part) != NULL;
}

static struct verdict judge(const char *call, const char *path) {
  struct verdict verdict = {PASS, 0};
  pthread_mutex_lock(&lock);
  read_rules();
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (!concerns(rule, call, path)) continue;
    rule->seen++;
    if (rule->seen == rule->n || (rule->onwards && rule->seen > rule->n)) {
      verdict.action = rule->action;
      verdict.error = rule->error;
    }
  }
  pthread_mutex_unlock(&lock);
  if (verdict.action == KILL_BEFORE) kill(getpid(), SIGKILL);
  while (verdict.action == HANG) pause();
  return verdict;
}

static void record(const char *call, long result, const char *path, const char *more, const void *data, long length) {
  const char *log = getenv("FAULTS_LOG");
  if (log == NULL) return;
  size_t head = 64 + strlen(call) + strlen(path) + strlen(more);
  char *line = malloc(head + (length > 0 ? 2 * (size_t)length : 0));
  size_t at = (size_t)sprintf(line, "%s %ld %s %s ", call, result, path, more);
  for (long i = 0; i < length; i++) at += (size_t)sprintf(line + at, "%02x", ((const unsigned char *)data)[i]);
  line[at++] = '\n';
  pthread_mutex_lock(&lock);
  long fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd >= 0) {
    syscall(SYS_write, fd, line, at);
    syscall(SYS_close, fd);
  }
  pthread_mutex_unlock(&lock);
  free(line);
}

static void done(struct verdict verdict) {
  if (verdict.action == KILL_AFTER || verdict.action == TORN) kill(getpid(), SIGKILL);
}

/* libuv closes by raw system call, so a descriptor may have become a pipe or somebody else's file unseen. */
static const char *path_of(int fd) {
  struct stat now;
  if (fd < 0 || fd >= MAX_FD || paths[fd] == NULL || fstat(fd, &now) != 0) return NULL;
  return now.st_ino == identities[fd].st_ino && now.st_dev == identities[fd].st_dev ? paths[fd] : NULL;
}

static int opened(int fd, const char *path, int flags) {
  if (fd < 0 || fd >= MAX_FD) return fd;
  pthread_mutex_lock(&lock);
  free(paths[fd]);
  paths[fd] = watched(path) && fstat(fd, &identities[fd]) == 0 ? strdup(path) : NULL;
  pthread_mutex_unlock(&lock);
  if (paths[fd] != NULL && (flags & (O_CREAT | O_TRUNC))) record("open", fd, path, "create", NULL, 0);
  return fd;
}

static int open_as(const char *name, const char *path, int flags, mode_t mode) {
  typedef int (*type)(const char *, int, ...);
  type real = (type)dlsym(RTLD_NEXT, name);
  if (!watched(path)) return opened(real(path, flags, mode), path, flags);
  struct verdict verdict = judge("open", path);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  int fd = opened(real(path, flags, mode), path, flags);
  done(verdict);
  return fd;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & O_CREAT) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE(flags) return open_as("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_as("open64", path, flags, mode); }

int close(int fd) {
  typedef int (*type)(int);
  REAL(type, "close");
  if (fd >= 0 && fd < MAX_FD) {
    pthread_mutex_lock(&lock);
    free(paths[fd]);
    paths[fd] = NULL;
    pthread_mutex_unlock(&lock);
  }
  return real(fd);
}

/* One buffer, at an offset; -1: where the file stands. */
static ssize_t write_at(int fd, const void *data, size_t length, off_t offset) {
  const char *path = path_of(fd);
  struct verdict verdict = path == NULL ? (struct verdict){PASS, 0} : judge("write", path);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  if ((verdict.action == SHORT || verdict.action == TORN) && length > 1) length /= 2;
  ssize_t result = offset < 0 ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, offset);
  if (path != NULL && result > 0) {
    int saved = errno;
    char where[32];
    sprintf(where, "%ld", (long)offset);
    record("write", result, path, where, data, result);
    errno = saved;
  }
  done(verdict);
  return result;
}

ssize_t write(int fd, const void *data, size_t length) { return write_at(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_at(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return write_at(fd, data, length, offset); }

/* Watched files get their first buffer only: a short write, which every caller must expect. */
ssize_t writev(int fd, const struct iovec *list, int count) {
  if (path_of(fd) == NULL || count == 0) return syscall(SYS_writev, fd, list, count);
  return write_at(fd, list[0].iov_base, list[0].iov_len, -1);
}

ssize_t pwritev(int fd, const struct iovec *list, int count, off_t offset) {
  typedef ssize_t (*type)(int, const struct iovec *, int, off_t);
  REAL(type, "pwritev");
  if (path_of(fd) == NULL || count == 0) return real(fd, list, count, offset);
  return write_at(fd, list[0].iov_base, list[0].iov_len, offset);
}

/* Whether reading from it must fail now; says so in errno. */
static int unreadable(int fd) {
  const char *path = path_of(fd);
  struct verdict verdict = path == NULL ? (struct verdict){PASS, 0} : judge("read", path);
  if (verdict.action == FAIL) errno = verdict.error;
  return verdict.action == FAIL;
}

ssize_t read(int fd, void *data, size_t length) { return unreadable(fd) ? -1 : syscall(SYS_read, fd, data, length); }

ssize_t pread(int fd, void *data, size_t length, off_t offset) {
  return unreadable(fd) ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}

ssize_t pread64(int fd, void *data, size_t length, off_t offset) {
  return unreadable(fd) ? -1 : syscall(SYS_pread64, fd, data, length, offset);
}

ssize_t preadv(int fd, const struct iovec *list, int count, off_t offset) {
  typedef ssize_t (*type)(int, const struct iovec *, int, off_t);
  REAL(type, "preadv");
  return unreadable(fd) ? -1 : real(fd, list, count, offset);
}

/* Logged before it is sent: whoever hears it may act on it at once. */
static void record_send(int fd, const struct iovec *list, size_t count) {
  if (getenv("FAULTS_SENDS") == NULL) return;
  size_t length = 0;
  for (size_t i = 0; i < count; i++) length += list[i].iov_len;
  char name[16], *all = malloc(length + 1), *at = all;
  for (size_t i = 0; i < count; i++) at = (char *)memcpy(at, list[i].iov_base, list[i].iov_len) + list[i].iov_len;
  sprintf(name, "%d", fd);
  record("send", (long)length, name, "-", all, (long)length);
  free(all);
}

ssize_t send(int fd, const void *data, size_t length, int flags) {
  typedef ssize_t (*type)(int, const void *, size_t, int);
  REAL(type, "send");
  record_send(fd, &(struct iovec){(void *)data, length}, 1);
  return real(fd, data, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  typedef ssize_t (*type)(int, const struct msghdr *, int);
  REAL(type, "sendmsg");
  record_send(fd, message->msg_iov, message->msg_iovlen);
  return real(fd, message, flags);
}

static int sync_as(const char *name, int fd) {
  typedef int (*type)(int);
  type real = (type)dlsym(RTLD_NEXT, name);
  const char *path = path_of(fd);
  if (path == NULL) return real(fd);
  struct verdict verdict = judge("fsync", path);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  int result = real(fd);
  record("fsync", result, path, "-", NULL, 0);
  done(verdict);
  return result;
}

int fsync(int fd) { return sync_as("fsync", fd); }
int fdatasync(int fd) { return sync_as("fdatasync", fd); }

int rename(const char *from, const char *to) {
  typedef int (*type)(const char *, const char *);
  REAL(type, "rename");
  if (!watched(from)) return real(from, to);
  struct verdict verdict = judge("rename", from);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  int result = real(from, to);
  if (result == 0) record("rename", result, from, to, NULL, 0);
  done(verdict);
  return result;
}

int unlink(const char *path) {
  typedef int (*type)(const char *);
  REAL(type, "unlink");
  if (!watched(path)) return real(path);
  struct verdict verdict = judge("unlink", path);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  int result = real(path);
  if (result == 0) record("unlink", result, path, "-", NULL, 0);
  done(verdict);
  return result;
}

static int truncate_as(const char *name, int fd, off_t length) {
  typedef int (*type)(int, off_t);
  type real = (type)dlsym(RTLD_NEXT, name);
  const char *path = path_of(fd);
  if (path == NULL) return real(fd, length);
  struct verdict verdict = judge("truncate", path);
  if (verdict.action == FAIL) {
    errno = verdict.error;
    return -1;
  }
  int result = real(fd, length);
  char where[32];
  sprintf(where, "%ld", (long)length);
  if (result == 0) record("truncate", result, path, where, NULL, 0);
  done(verdict);
  return result;
}

int ftruncate(int fd, off_t length) { return truncate_as("ftruncate", fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_as("ftruncate64", fd, length); }
