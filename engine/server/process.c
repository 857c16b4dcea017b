/* SPDX-License-Identifier: Apache-2.0 */
/* The real process. */
#include "engine/server/process.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/signalfd.h>
#include <unistd.h>

void process_exit(int code)
{
    _exit(code);
}

uint64_t process_random(void)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value)) {
        value = (uint64_t)getpid();
    }
    return value;
}

int process_wait_signal(struct completion *done)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    int number = -1;
    while (number < 0) {
        struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN},
                                {.fd = done->fd, .events = POLLIN}};
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        if ((fds[1].revents & POLLIN) != 0) {
            number = 0;
        } else if ((fds[0].revents & POLLIN) != 0 &&
                   read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            number = (int)info.ssi_signo;
        }
    }
    close(signal_fd);
    return number;
}

void process_usage(struct process_usage *out_usage)
{
    struct rlimit limit;
    struct rusage used;
    struct stat own;
    long long pages = 0;
    long long all_pages = 0;
    DIR *dir = opendir("/proc/self/fd");
    *out_usage = (struct process_usage){-1, -1, -1, -1, -1, -1};
    if (dir != NULL) {
        int64_t count = 0;
        while (readdir(dir) != NULL) {
            count++;
        }
        closedir(dir);
        out_usage->open_files = count > 3 ? count - 3 : 0; /* ".", ".." and the listing itself */
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        out_usage->open_files_max = (int64_t)limit.rlim_cur;
    }
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%lld %lld", &all_pages, &pages) == 2) {
            out_usage->resident_bytes = pages * sysconf(_SC_PAGESIZE);
            out_usage->virtual_bytes = all_pages * sysconf(_SC_PAGESIZE);
        }
        fclose(file);
    }
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        out_usage->cpu_seconds = used.ru_utime.tv_sec + used.ru_stime.tv_sec;
    }
    if (stat("/proc/self", &own) == 0) { /* made when the process began */
        out_usage->start_unix_s = own.st_mtim.tv_sec;
    }
}
