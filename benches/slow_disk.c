/* A slow disk, for LD_PRELOAD: every call that forces bytes to it takes SLOW_DISK_MS longer (2 by default).
   With SLOW_DISK_LOG=FILE each such call leaves a byte in FILE, so that a bench can tell how many there were. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(void) {
    const char *text = getenv("SLOW_DISK_MS");
    double ms = text ? atof(text) : 2.0;
    struct timespec pause = {(time_t)(ms / 1000), (long)(ms * 1e6) % 1000000000L};
    nanosleep(&pause, NULL);
    const char *log = getenv("SLOW_DISK_LOG");
    if (log) {
        int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (file >= 0) {
            if (write(file, ".", 1) < 0) { /* the count is one short */ }
            close(file);
        }
    }
}

int fsync(int file) {
    wait_for_disk();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_for_disk();
    return (int)syscall(SYS_fdatasync, file);
}

int syncfs(int file) {
    wait_for_disk();
    return (int)syscall(SYS_syncfs, file);
}

int sync_file_range(int file, off64_t from, off64_t bytes, unsigned int flags) {
    wait_for_disk();
    return (int)syscall(SYS_sync_file_range, file, from, bytes, flags);
}
