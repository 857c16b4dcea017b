/* SPDX-License-Identifier: Apache-2.0 */
/* stdout, stderr, signals. */
#include "ctl/output.h"

#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ctl/command.h"

int output_fail(const struct err *err)
{
    fprintf(stderr, "Error: %s\n", err->text);
    return EXIT_FAILED;
}

int output_print(struct buf *text)
{
    bool good = fwrite(text->data, 1, text->size, stdout) == text->size && fflush(stdout) == 0;
    if (!good) {
        fprintf(stderr, "Error: the answer could not be written\n");
    }
    return good ? 0 : EXIT_FAILED;
}

int output_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -1;
    }
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool output_interrupted(int signal_fd)
{
    struct signalfd_siginfo info;
    return signal_fd >= 0 && read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}
