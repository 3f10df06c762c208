/* A disk that loses what was not synced, that is full when told so, and that kills its process at a chosen call.
 *
 * Preloaded (LD_PRELOAD) by tests/chaos/disk.py: into the server, or into PostgreSQL, without CHAOS_UNDO, where it can
 * be full and no more. It looks at files whose path begins with CHAOS_FILES, SQLite's shared memory excepted. Each write to one is noted in CHAOS_UNDO/<name> before it is done, with the bytes that
 * were there; a sync empties the note. What the notes hold when the process was killed is what a power loss may take.
 * The syncs themselves are left out: they would only cost time.
 *
 * CHAOS_FULL is a file: as long as it exists, no file grows, but for a log on standard error. CHAOS_DISK_POINT and CHAOS_DISK_COUNT: where to be killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 16

struct note { /* followed by the old bytes, then the new ones; tests/chaos/disk.py reads it */
    int64_t truncates, offset, old_length, new_length, old_size;
};

static struct file {
    dev_t device;
    ino_t inode;
    int undo;
} files[FILES];
static int known;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *prefix, *undo_folder, *full, *point;
static long left;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_posix_fallocate)(int, off64_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);

/* Of the environment, which PostgreSQL writes over. */
static char *name(const char *of)
{
    char *value = getenv(of);

    return value ? strdup(value) : NULL;
}

/* Also called by a process that was forked, when its environment is set. */
__attribute__((constructor)) void chaos_begin(void)
{
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
    real_posix_fallocate = dlsym(RTLD_NEXT, "posix_fallocate64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    prefix = name("CHAOS_FILES");
    undo_folder = name("CHAOS_UNDO");
    full = name("CHAOS_FULL");
    point = name("CHAOS_DISK_POINT");
    left = point ? atol(getenv("CHAOS_DISK_COUNT")) : 0;
}

static int passes(const char *name)
{
    return point && strcmp(point, name) == 0 && --left == 0;
}

static void pass(const char *name)
{
    if (passes(name))
        kill(getpid(), SIGKILL);
}

static int watched(const char *path)
{
    size_t length = strlen(path);
    return prefix && undo_folder && strncmp(path, prefix, strlen(prefix)) == 0 &&
           !(length > 4 && strcmp(path + length - 4, "-shm") == 0);
}

/* The file's path, in memory of PATH_MAX bytes; 0 if it has none. */
static int path_of(int fd, char *path)
{
    char link[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return 1;
}

/* Whether there is no room for the file to grow up to this size. */
static int is_full(int fd, off64_t size)
{
    struct stat64 status;
    char path[PATH_MAX];

    return full && prefix && fd > STDERR_FILENO && fstat64(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           size > status.st_size && access(full, F_OK) == 0 && path_of(fd, path) &&
           (undo_folder ? watched(path) : strncmp(path, prefix, strlen(prefix)) == 0);
}

static int open_undo(const char *path)
{
    char undo[PATH_MAX];
    snprintf(undo, sizeof undo, "%s/%s", undo_folder, strrchr(path, '/') + 1);
    return open(undo, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* What is known of the file, or NULL if it is none of those. The lock is held. */
static struct file *find(int fd, struct stat64 *status)
{
    char path[PATH_MAX];

    if (!prefix || !undo_folder || fstat64(fd, status) || !S_ISREG(status->st_mode))
        return NULL;
    for (int i = 0; i < known; i++)
        if (files[i].inode == status->st_ino && files[i].device == status->st_dev)
            return &files[i];
    if (!path_of(fd, path) || !watched(path) || known == FILES)
        return NULL;
    files[known] = (struct file){status->st_dev, status->st_ino, open_undo(path)};
    return &files[known++];
}

static void put(int fd, const void *data, size_t length)
{
    if (length && real_write(fd, data, length) != (ssize_t)length)
        abort();
}

static void note(struct file *file, int fd, int truncates, off64_t offset, const void *new, size_t length, off64_t size)
{
    int64_t old_length = size - offset;
    char *record, *end;

    if (old_length < 0)
        old_length = 0;
    if (!truncates && old_length > (int64_t)length)
        old_length = length;
    record = malloc(sizeof(struct note) + old_length + length);
    *(struct note *)record = (struct note){truncates, offset, old_length, length, size};
    end = record + sizeof(struct note);
    if (old_length && pread64(fd, end, old_length, offset) != old_length)
        abort();
    if (length)
        memcpy(end + old_length, new, length);
    put(file->undo, record, sizeof(struct note) + old_length + length);
    free(record);
}

static ssize_t write_at(int fd, const void *data, size_t length, off64_t offset, int moves)
{
    struct stat64 status;
    struct file *file;
    ssize_t done;

    pthread_mutex_lock(&lock);
    file = find(fd, &status);
    if (!file) {
        pthread_mutex_unlock(&lock);
        if (is_full(fd, (moves ? lseek64(fd, 0, SEEK_CUR) : offset) + (off64_t)length)) {
            errno = ENOSPC;
            return -1;
        }
        return moves ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    }
    if (moves)
        offset = lseek64(fd, 0, SEEK_CUR);
    pass("before write");
    if (is_full(fd, offset + (off64_t)length)) {
        pthread_mutex_unlock(&lock);
        errno = ENOSPC;
        return -1;
    }
    note(file, fd, 0, offset, data, length, status.st_size);
    if (passes("amid write")) {
        real_pwrite(fd, data, length / 2, offset);
        kill(getpid(), SIGKILL);
    }
    done = moves ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    pass("after write");
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return write_at(fd, data, length, 0, 1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_at(fd, data, length, offset, 0); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return write_at(fd, data, length, at, 0); }

ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset)
{
    off64_t size = offset;

    for (int i = 0; i < count; i++)
        size += data[i].iov_len;
    if (is_full(fd, size)) {
        errno = ENOSPC;
        return -1;
    }
    return real_pwritev(fd, data, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *data, int count, off_t at) { return pwritev64(fd, data, count, at); }

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return is_full(fd, offset + length) ? ENOSPC : real_posix_fallocate(fd, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

static int cut(int fd, off64_t size)
{
    struct stat64 status;
    struct file *file;
    int result;

    pthread_mutex_lock(&lock);
    file = find(fd, &status);
    if (file)
        note(file, fd, 1, size, NULL, 0, status.st_size);
    result = real_ftruncate(fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int sync_file(int fd, int (*real)(int))
{
    struct stat64 status;
    struct file *file;
    int result = 0;

    pthread_mutex_lock(&lock);
    file = find(fd, &status);
    if (file) {
        pass("before sync");
        if (real_ftruncate(file->undo, 0))
            abort();
        pass("after sync");
    }
    pthread_mutex_unlock(&lock);
    if (!file)
        result = real(fd);
    return result;
}

int fsync(int fd) { return sync_file(fd, real_fsync); }
int fdatasync(int fd) { return sync_file(fd, real_fdatasync); }

int unlink(const char *path)
{
    struct stat64 status;
    int result;

    if (!watched(path) || stat64(path, &status))
        return real_unlink(path);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < known; i++)
        if (files[i].inode == status.st_ino && files[i].device == status.st_dev) { /* the next file may be given it */
            if (real_ftruncate(files[i].undo, 0))
                abort();
            close(files[i].undo);
            files[i] = files[--known];
        }
    result = real_unlink(path);
    pthread_mutex_unlock(&lock);
    return result;
}
