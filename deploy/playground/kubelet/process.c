/* SPDX-License-Identifier: Apache-2.0 */
/* fork, namespaces, exec, wait, signals. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "files.h"

#define REPORT_FD      3
#define FIRST_FREE_FD  4
#define FD_SCAN_MAX    4096
#define SIGNAL_MAX     64
#define STAT_SIZE      1024
#define STAT_BIRTH_ROW 22 /* of /proc/PID/stat, counted from 1 */
#define HOSTS_FILE     "hosts"
#define NSSWITCH_FILE  "nsswitch.conf"

/* What a child could not do, sent to its parent. */
struct failure {
    int errnum;
    char step[60];
};

/* All that the child needs, made before the fork: afterwards it may only make system calls. */
struct plan {
    char *hosts;
    char *nsswitch;
    char uid_map[64];
    char gid_map[64];
    bool is_root;
};

static void plan_init(struct plan *plan, const char *dir)
{
    plan->hosts = str_printf("%s/%s", dir, HOSTS_FILE);
    plan->nsswitch = str_printf("%s/%s", dir, NSSWITCH_FILE);
    plan->is_root = geteuid() == 0;
    snprintf(plan->uid_map, sizeof(plan->uid_map), "%u %u 1", geteuid(), geteuid());
    snprintf(plan->gid_map, sizeof(plan->gid_map), "%u %u 1", getegid(), getegid());
}

static void plan_free(struct plan *plan)
{
    mem_free(plan->hosts);
    mem_free(plan->nsswitch);
}

static bool put_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t size = strlen(text);
    bool ok = write(fd, text, size) == (ssize_t)size;
    close(fd);
    return ok;
}

/* Gives NULL, or the step that failed with errno set. Only system calls. */
static const char *enter_names(const struct plan *plan)
{
    bool has_mounts = plan->is_root && unshare(CLONE_NEWNS) == 0;
    if (!has_mounts) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
            return "make a private mount namespace";
        }
        bool mapped = put_text("/proc/self/setgroups", "deny") &&
                      put_text("/proc/self/uid_map", plan->uid_map) &&
                      put_text("/proc/self/gid_map", plan->gid_map);
        if (!mapped) {
            return "map the user into a namespace";
        }
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return "make mounts private";
    }
    if (mount(plan->hosts, "/etc/hosts", NULL, MS_BIND, NULL) != 0) {
        return "bind the hosts file over /etc/hosts";
    }
    if (access("/etc/nsswitch.conf", F_OK) == 0 &&
        mount(plan->nsswitch, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) != 0) {
        return "bind a file over /etc/nsswitch.conf";
    }
    return NULL;
}

static int set_names_error(struct err *err, const char *step, int errnum)
{
    return err_set(err, E_PERMISSION,
                   "cannot %s: %s. The playground needs root (CAP_SYS_ADMIN), or user namespaces "
                   "for plain users (kernel.unprivileged_userns_clone=1, user.max_user_namespaces "
                   "above 0), so that its processes see its names in /etc/hosts",
                   step, strerror(errnum));
}

/* Shows the folder where clients inside a Pod look for their token. Only system calls. */
static const char *show_account(const char *folder)
{
    static const char *const FOLDERS[] = {"/run/secrets", "/run/secrets/kubernetes.io",
                                          "/run/secrets/kubernetes.io/serviceaccount"};
    if (mount("none", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755") != 0) {
        return "mount a private /run";
    }
    for (size_t i = 0; i < ARRAY_COUNT(FOLDERS); i++) {
        if (mkdir(FOLDERS[i], 0755) != 0) {
            return "make the folder of the service account";
        }
    }
    return mount(folder, FOLDERS[ARRAY_COUNT(FOLDERS) - 1], NULL, MS_BIND, NULL) != 0
               ? "bind the folder of the service account"
               : NULL;
}

int process_enter_names(const char *dir, struct err *err)
{
    struct plan plan;
    plan_init(&plan, dir);
    const char *step = enter_names(&plan);
    int errnum = errno;
    plan_free(&plan);
    return step == NULL ? 0 : set_names_error(err, step, errnum);
}

static void report(const char *step)
{
    struct failure failure = {.errnum = errno};
    for (size_t i = 0; step[i] != '\0' && i + 1 < sizeof(failure.step); i++) {
        failure.step[i] = step[i];
    }
    ssize_t sent = write(REPORT_FD, &failure, sizeof(failure));
    _exit(sent > 0 ? 127 : 126);
}

static void close_others(void)
{
    if (close_range(FIRST_FREE_FD, ~0u, 0) == 0) {
        return;
    }
    for (int fd = FIRST_FREE_FD; fd < FD_SCAN_MAX; fd++) {
        close(fd);
    }
}

static void reset_signals(void)
{
    for (int number = 1; number <= SIGNAL_MAX; number++) {
        signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts the report pipe and the standard descriptors in place. */
static void place_descriptors(const struct process_spec *spec, int report_fd)
{
    if (report_fd != REPORT_FD && dup2(report_fd, REPORT_FD) < 0) {
        _exit(126);
    }
    fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC);
    close_others();
    int null = open("/dev/null", O_RDWR);
    int log =
        spec->log_path == NULL ? null : open(spec->log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (null < 0 || log < 0) {
        report("open the log file");
    }
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close(null);
    if (log != null) {
        close(log);
    }
}

BASE_NORETURN static void run_child(const struct process_spec *spec, const struct plan *plan,
                                    pid_t parent, int report_fd)
{
    place_descriptors(spec, report_fd);
    reset_signals();
    setsid();
    const char *step = enter_names(plan);
    if (step == NULL && spec->account != NULL) {
        step = show_account(spec->account);
    }
    if (step != NULL) {
        report(step);
    }
    /* After the namespaces: entering a user namespace clears it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(126);
    }
    if (spec->cwd != NULL && chdir(spec->cwd) != 0) {
        report("change to the working folder");
    }
    if (spec->argv != NULL) {
        execvpe(spec->argv[0], spec->argv, spec->envp);
        report("run the program");
    }
    _exit(0);
}

static int fork_child(const struct process_spec *spec, pid_t *out_pid, struct failure *out_failure)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        return err_from_errno(errno);
    }
    struct plan plan;
    plan_init(&plan, spec->dir);
    memset(out_failure, 0, sizeof(*out_failure));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        run_child(spec, &plan, parent, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    plan_free(&plan);
    if (pid < 0) {
        close(pipe_fds[0]);
        return E_IO;
    }
    ssize_t got;
    do {
        got = read(pipe_fds[0], out_failure, sizeof(*out_failure));
    } while (got < 0 && errno == EINTR);
    close(pipe_fds[0]);
    if (got == (ssize_t)sizeof(*out_failure)) {
        waitpid(pid, NULL, 0);
        return E_REFUSED;
    }
    *out_pid = pid;
    return 0;
}

int process_check_names(const char *dir, struct err *err)
{
    struct process_spec spec = {.dir = dir};
    struct failure failure;
    pid_t pid;
    int rc = fork_child(&spec, &pid, &failure);
    if (rc == E_REFUSED) {
        return set_names_error(err, failure.step, failure.errnum);
    }
    if (rc != 0) {
        return err_set(err, rc, "cannot start processes");
    }
    waitpid(pid, NULL, 0);
    return 0;
}

int process_spawn(const struct process_spec *spec, pid_t *out_pid, struct err *err)
{
    struct failure failure;
    int rc = fork_child(spec, out_pid, &failure);
    if (rc == E_REFUSED) {
        int code = failure.errnum == ENOENT   ? E_NOT_FOUND
                   : failure.errnum == EACCES ? E_PERMISSION
                                              : E_IO;
        return err_set(err, code, "cannot %s \"%s\": %s", failure.step, spec->argv[0],
                       strerror(failure.errnum));
    }
    return rc == 0 ? 0 : err_set(err, rc, "cannot start a process");
}

bool process_reap(pid_t pid, int *out_status)
{
    pid_t got = waitpid(pid, out_status, WNOHANG);
    if (got < 0 && errno == ECHILD) {
        *out_status = SIGKILL;
        return true;
    }
    return got == pid;
}

void process_signal(pid_t pid, int signal_number)
{
    if (pid > 1 && kill(-pid, signal_number) != 0) {
        kill(pid, signal_number);
    }
}

/* The time of birth of pid as /proc has it; 0 when there is no such process. */
static unsigned long long birth_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    char *text = files_read_text(path, STAT_SIZE);
    const char *at = text == NULL ? NULL : strrchr(text, ')');
    unsigned long long birth = 0;
    for (int row = 2; at != NULL && row < STAT_BIRTH_ROW; row++) {
        at = strchr(at + 1, ' ');
    }
    if (at != NULL) {
        birth = strtoull(at + 1, NULL, 10);
    }
    mem_free(text);
    return birth;
}

void process_note(const char *path, pid_t pid)
{
    char *text = str_printf("%d %llu\n", (int)pid, birth_of(pid));
    files_write(path, text, strlen(text), 0600);
    mem_free(text);
}

bool process_end_orphan(const char *path)
{
    char *text = files_read_text(path, STAT_SIZE);
    if (text == NULL) {
        return false;
    }
    char *rest = NULL;
    pid_t pid = (pid_t)strtol(text, &rest, 10);
    unsigned long long birth = strtoull(rest, NULL, 10);
    bool is_same = pid > 1 && birth != 0 && birth_of(pid) == birth;
    if (is_same) {
        process_signal(pid, SIGKILL);
    }
    mem_free(text);
    unlink(path);
    return is_same;
}
