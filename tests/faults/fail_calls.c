/* Lets the n-th system call fail that touches a directory: preloaded into the application by fault 8/10.
 *
 * FAIL_PREFIX  only calls on paths below it, and on descriptors of files below it
 * FAIL_AT      which of them fails, from 1; 0: none
 * FAIL_ERRNO   with which error
 * FAIL_FOREVER if set, all later ones too
 * FAIL_TRACE   a file to which each call is appended: "name path" */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static int fails(const char *name, const char *path) {
    const char *prefix = getenv("FAIL_PREFIX");
    if (!prefix || !path || strncmp(path, prefix, strlen(prefix)) != 0) return 0;
    long n = atomic_fetch_add(&calls, 1) + 1;
    const char *trace = getenv("FAIL_TRACE");
    if (trace) {
        char line[8192];
        int bytes = snprintf(line, sizeof line, "%s %s\n", name, path);
        int fd = syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CREAT, 0600);
        if (fd >= 0) {
            if (write(fd, line, bytes) < 0) abort();
            syscall(SYS_close, fd);
        }
    }
    const char *at = getenv("FAIL_AT");
    long first = at ? atol(at) : 0;
    if (first == 0 || n < first || (n > first && !getenv("FAIL_FOREVER"))) return 0;
    errno = atoi(getenv("FAIL_ERRNO"));
    return 1;
}

static int fails_fd(const char *name, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (bytes < 0) return 0;
    path[bytes] = 0;
    return fails(name, path);
}


static int open_any(const char *name, const char *path, int flags, mode_t mode) {
    return fails(name, path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
#define MODE mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE return open_any("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_any("open", path, flags | O_LARGEFILE, mode); }

int fallocate(int fd, int mode, off_t at, off_t bytes) {
    return fails_fd("fallocate", fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, at, bytes);
}
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) { return fallocate(fd, mode, at, bytes); }
int ftruncate(int fd, off_t bytes) {
    return fails_fd("ftruncate", fd) ? -1 : (int)syscall(SYS_ftruncate, fd, bytes);
}
int ftruncate64(int fd, off64_t bytes) { return ftruncate(fd, bytes); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    return fails_fd("pwrite", fd) ? -1 : syscall(SYS_pwrite64, fd, data, bytes, at);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) { return pwrite(fd, data, bytes, at); }
ssize_t pread(int fd, void *data, size_t bytes, off_t at) {
    return fails_fd("pread", fd) ? -1 : syscall(SYS_pread64, fd, data, bytes, at);
}
ssize_t pread64(int fd, void *data, size_t bytes, off64_t at) { return pread(fd, data, bytes, at); }
ssize_t write(int fd, const void *data, size_t bytes) {
    return fails_fd("write", fd) ? -1 : syscall(SYS_write, fd, data, bytes);
}
int fsync(int fd) { return fails_fd("fsync", fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails_fd("fdatasync", fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int unlink(const char *path) {
    return fails("unlink", path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
int rmdir(const char *path) {
    return fails("rmdir", path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && fails_fd("mmap", fd)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off64_t offset) {
    return mmap(at, bytes, protection, flags, fd, offset);
}
int msync(void *at, size_t bytes, int flags) {
    /* Mappings have no descriptor any more; ours are the only ones that are synced. */
    return fails("msync", getenv("FAIL_PREFIX")) ? -1 : (int)syscall(SYS_msync, at, bytes, flags);
}
int fcntl(int fd, int command, ...) {
    va_list a;
    va_start(a, command);
    void *argument = va_arg(a, void *);
    va_end(a);
    if (command == F_SETLK && fails_fd("lock", fd)) return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}
int fcntl64(int fd, int command, ...) {
    va_list a;
    va_start(a, command);
    void *argument = va_arg(a, void *);
    va_end(a);
    return fcntl(fd, command, argument);
}
