/* SPDX-License-Identifier: Apache-2.0 */
/* One container: started, watched, probed, stopped, started again. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backoff.h"
#include "base/alloc.h"
#include "base/log.h"
#include "files.h"
#include "image.h"
#include "state.h"

#define START_ERROR_CODE 128
#define LOST_EXIT_CODE   137

static const char *const PROBE_FIELDS[PROBE_KINDS] = {
    [PROBE_STARTUP] = "startupProbe",
    [PROBE_LIVENESS] = "livenessProbe",
    [PROBE_READINESS] = "readinessProbe",
};
static const char *const PROBE_WORDS[PROBE_KINDS] = {
    [PROBE_STARTUP] = "Startup",
    [PROBE_LIVENESS] = "Liveness",
    [PROBE_READINESS] = "Readiness",
};

void container_wait(struct container *container, const char *reason, const char *message)
{
    mem_free(container->waiting_reason);
    mem_free(container->waiting_message);
    container->state = CONTAINER_WAITING;
    container->waiting_reason = str_dup(reason);
    container->waiting_message = str_dup(message);
}

static struct json *exit_new(int64_t code, const char *reason, const char *message,
                             const char *started_at)
{
    char now[STORE_TIME_SIZE];
    store_time_now(now);
    struct json *exit = json_object();
    json_set_int(exit, "exitCode", code);
    json_set_str(exit, "reason", reason);
    if (message != NULL) {
        json_set_str(exit, "message", message);
    }
    json_set_str(exit, "startedAt", started_at[0] == '\0' ? now : started_at);
    json_set_str(exit, "finishedAt", now);
    return exit;
}

void container_init(struct container *container, const struct json *spec, bool is_init,
                    const struct json *old_status)
{
    memset(container, 0, sizeof(*container));
    container->name = str_dup(json_path_str(spec, "name", ""));
    container->spec = json_copy(spec);
    container->is_init = is_init;
    container_wait(container, is_init ? "PodInitializing" : "ContainerCreating", NULL);
    container->restart_count = json_path_i64(old_status, "restartCount", 0);
    const struct json *running = json_path(old_status, "state.running");
    const struct json *terminated = json_path(old_status, "state.terminated");
    const struct json *last = json_path(old_status, "lastState.terminated");
    container->was_run = running != NULL || terminated != NULL || last != NULL;
    container->last_exit = last == NULL ? NULL : json_copy(last);
    if (terminated != NULL) {
        container->exit = json_copy(terminated);
        container->state = CONTAINER_TERMINATED;
    } else if (running != NULL) {
        container->exit = exit_new(LOST_EXIT_CODE, "ContainerStatusUnknown",
                                   "the playground was not there when the container ended",
                                   json_path_str(running, "startedAt", ""));
        container->state = CONTAINER_TERMINATED;
    }
}

void container_drop_probes(struct container *container)
{
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        probe_run_free(container->runs[i]);
        container->runs[i] = NULL;
    }
    container->is_ready = false;
    container->is_started = false;
}

void container_free(struct container *container)
{
    container_drop_probes(container);
    mem_free(container->name);
    mem_free(container->waiting_reason);
    mem_free(container->waiting_message);
    json_free(container->spec);
    json_free(container->exit);
    json_free(container->last_exit);
}

/* Takes exit: one life is over. Waits for the next, or is done. */
static void end_life(struct pod *pod, struct container *container, struct json *exit,
                     uint64_t now_ms)
{
    container->pid = 0;
    container_drop_probes(container);
    int64_t code = json_path_i64(exit, "exitCode", 0);
    bool goes_on = !pod->is_stopping && !pod->is_gone && status_restarts(pod, container, code);
    container->is_stopping = false;
    json_free(container->exit);
    container->exit = exit;
    container->state = CONTAINER_TERMINATED;
    if (!goes_on) {
        return;
    }
    json_free(container->last_exit);
    container->last_exit = json_copy(exit);
    container->back_off_count =
        backoff_next(container->back_off_count, now_ms - container->started_ms);
    uint64_t wait_ms = backoff_ms(container->back_off_count);
    container->next_start_ms = now_ms + wait_ms;
    char *message =
        str_printf("back-off %us restarting failed container=%s pod=%s_%s(%s)",
                   (unsigned)(wait_ms / 1000), container->name, pod->name, pod->ns, pod->uid);
    container_wait(container, "CrashLoopBackOff", message);
    mem_free(message);
}

void container_finish(struct container *container)
{
    if (container->state == CONTAINER_WAITING && container->last_exit != NULL) {
        json_free(container->exit);
        container->exit = json_copy(container->last_exit);
        container->state = CONTAINER_TERMINATED;
    }
}

/* The container cannot be made; asked again after a while. */
static void refuse(struct kubelet *kubelet, struct pod *pod, struct container *container,
                   const char *reason, const char *message, uint64_t now_ms)
{
    bool is_new = !str_equal(container->waiting_reason, reason) ||
                  !str_equal(container->waiting_message, message);
    container_wait(container, reason, message);
    container->next_start_ms = now_ms + BACKOFF_FIRST_MS;
    if (is_new) {
        pod_event(kubelet, pod, "Warning", "Failed", message);
    }
}

static char *pid_path(const struct pod *pod, const struct container *container)
{
    return str_printf("%s/%s.pid", pod->dir, container->name);
}

static void note_start(struct kubelet *kubelet, struct pod *pod, struct container *container,
                       uint64_t now_ms)
{
    container->state = CONTAINER_RUNNING;
    container->was_run = true;
    container->started_ms = now_ms;
    container->is_stopping = false;
    store_time_now(container->started_at);
    for (size_t i = 0; i < PROBE_KINDS; i++) {
        probe_init(&container->probes[i], json_get(container->spec, PROBE_FIELDS[i]), now_ms);
    }
    char *path = pid_path(pod, container);
    process_note(path, container->pid);
    mem_free(path);
    char *text = str_printf("Started container %s", container->name);
    pod_event(kubelet, pod, "Normal", "Started", text);
    mem_free(text);
}

static int spawn(struct kubelet *kubelet, struct pod *pod, struct container *container,
                 const struct environment *environment, struct err *err)
{
    char *log = logs_path(kubelet->dir, pod->uid, container->name, container->restart_count);
    char *old = logs_path(kubelet->dir, pod->uid, container->name, container->restart_count - 2);
    unlink(old);
    char *slash = strrchr(log, '/');
    *slash = '\0';
    files_make_dirs(log);
    *slash = '/';
    files_make_dirs(environment->cwd);
    char *account = volumes_account(kubelet, pod);
    struct process_spec spec = {.dir = kubelet->dir,
                                .argv = environment->argv,
                                .envp = environment->envp,
                                .cwd = environment->cwd,
                                .log_path = log,
                                .account = account};
    int rc = process_spawn(&spec, &container->pid, err);
    mem_free(account);
    mem_free(log);
    mem_free(old);
    return rc;
}

void container_start(struct kubelet *kubelet, struct pod *pod, struct container *container,
                     uint64_t now_ms)
{
    struct err err = {""};
    const char *image = json_path_str(container->spec, "image", "");
    const char *program =
        image_find((const char *const *)kubelet->images, kubelet->image_count, image);
    if (program == NULL || access(program, X_OK) != 0) {
        err_set(&err, E_NOT_FOUND, "no program stands for image \"%s\"%s%s", image,
                program == NULL ? "; give one by --image NAME=PROGRAM" : ": cannot run ",
                program == NULL ? "" : program);
        refuse(kubelet, pod, container, "ErrImagePull", err.text, now_ms);
        return;
    }
    struct environment environment;
    if (environment_make(kubelet, pod, container, program, &environment, &err) != 0) {
        environment_free(&environment);
        refuse(kubelet, pod, container, "CreateContainerConfigError", err.text, now_ms);
        return;
    }
    container->restart_count += container->was_run ? 1 : 0;
    container->started_ms = now_ms;
    container->started_at[0] = '\0';
    if (spawn(kubelet, pod, container, &environment, &err) == 0) {
        note_start(kubelet, pod, container, now_ms);
    } else {
        container->was_run = true;
        pod_event(kubelet, pod, "Warning", "Failed", err.text);
        end_life(pod, container, exit_new(START_ERROR_CODE, "StartError", err.text, ""), now_ms);
    }
    environment_free(&environment);
}

bool container_reap(struct kubelet *kubelet, struct pod *pod, struct container *container,
                    uint64_t now_ms)
{
    int status = 0;
    if (container->pid == 0 || !process_reap(container->pid, &status)) {
        return false;
    }
    /* What it started and left behind goes with it. */
    kill(-container->pid, SIGKILL);
    int64_t code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    struct json *exit =
        exit_new(code, code == 0 ? "Completed" : "Error", NULL, container->started_at);
    if (WIFSIGNALED(status)) {
        json_set_int(exit, "signal", WTERMSIG(status));
    }
    char *path = pid_path(pod, container);
    unlink(path);
    mem_free(path);
    bool was_asked = container->is_stopping || pod->is_stopping || pod->is_gone;
    end_life(pod, container, exit, now_ms);
    if (container->state == CONTAINER_WAITING && !was_asked) {
        char *text = str_printf("Back-off restarting failed container %s in pod %s",
                                container->name, pod->name);
        pod_event(kubelet, pod, "Warning", "BackOff", text);
        mem_free(text);
    }
    LOG_DEBUG("container ended", LOG_STR("pod", pod->name), LOG_STR("container", container->name),
              LOG_I64("code", code));
    return true;
}

void container_stop(struct kubelet *kubelet, struct pod *pod, struct container *container,
                    uint64_t now_ms, uint64_t grace_ms)
{
    if (container->pid == 0) {
        return;
    }
    if (!container->is_stopping) {
        container->is_stopping = true;
        container->kill_at_ms = now_ms + grace_ms;
        process_signal(container->pid, grace_ms == 0 ? SIGKILL : SIGTERM);
        char *text = str_printf("Stopping container %s", container->name);
        pod_event(kubelet, pod, "Normal", "Killing", text);
        mem_free(text);
        return;
    }
    container->kill_at_ms = BASE_MIN(container->kill_at_ms, now_ms + grace_ms);
    if (now_ms >= container->kill_at_ms) {
        process_signal(container->pid, SIGKILL);
    }
}

static struct probe_run *start_probe(struct kubelet *kubelet, const struct pod *pod,
                                     const struct container *container, const struct probe *probe,
                                     uint64_t now_ms)
{
    struct probe_target target = {.pod_ip = pod->ip, .container = container->spec};
    const struct json *command = json_path(probe->spec, "exec.command");
    if (command == NULL) {
        return probe_run_start(probe->spec, &target, now_ms + probe->timeout_ms);
    }
    struct err err = {""};
    struct environment environment;
    const char *program = image_find((const char *const *)kubelet->images, kubelet->image_count,
                                     json_path_str(container->spec, "image", ""));
    struct process_spec spec = {.dir = kubelet->dir};
    int rc = environment_make(kubelet, pod, container, program == NULL ? "" : program, &environment,
                              &err);
    if (rc == 0 && json_count(command) > 0) {
        environment_set_command(&environment, pod, command);
        spec.argv = environment.argv;
        spec.envp = environment.envp;
        spec.cwd = environment.cwd;
        target.exec = &spec;
    }
    struct probe_run *run = probe_run_start(probe->spec, &target, now_ms + probe->timeout_ms);
    environment_free(&environment);
    return run;
}

/* A probe has failed as often as it may. */
static void act_on_failure(struct kubelet *kubelet, struct pod *pod, struct container *container,
                           enum probe_kind kind, uint64_t now_ms)
{
    if (kind == PROBE_READINESS || container->is_stopping) {
        return;
    }
    char *text = str_printf("Container %s failed %s probe, will be restarted", container->name,
                            kind == PROBE_STARTUP ? "startup" : "liveness");
    pod_event(kubelet, pod, "Normal", "Killing", text);
    mem_free(text);
    container_stop(kubelet, pod, container, now_ms, pod_grace_ms(pod));
}

static void step_probe(struct kubelet *kubelet, struct pod *pod, struct container *container,
                       enum probe_kind kind, uint64_t now_ms)
{
    struct probe *probe = &container->probes[kind];
    if (container->runs[kind] == NULL) {
        if (!probe_is_due(probe, now_ms)) {
            return;
        }
        container->runs[kind] = start_probe(kubelet, pod, container, probe, now_ms);
    }
    bool ok = false;
    char why[PROBE_TEXT_MAX];
    if (!probe_run_poll(container->runs[kind], now_ms, &ok, why)) {
        return;
    }
    probe_run_free(container->runs[kind]);
    container->runs[kind] = NULL;
    enum probe_result result = probe_note(probe, ok, now_ms);
    if (!ok) {
        char *text = str_printf("%s probe failed: %s", PROBE_WORDS[kind], why);
        pod_event(kubelet, pod, "Warning", "Unhealthy", text);
        mem_free(text);
    }
    if (result == PROBE_FAILURE) {
        act_on_failure(kubelet, pod, container, kind, now_ms);
    }
}

void container_probe(struct kubelet *kubelet, struct pod *pod, struct container *container,
                     uint64_t now_ms)
{
    if (container->state != CONTAINER_RUNNING) {
        container_drop_probes(container);
        return;
    }
    struct probe *startup = &container->probes[PROBE_STARTUP];
    if (!container->is_started && startup->spec != NULL && startup->result != PROBE_SUCCESS) {
        step_probe(kubelet, pod, container, PROBE_STARTUP, now_ms);
        container->is_started = startup->result == PROBE_SUCCESS;
    } else {
        container->is_started = true;
    }
    if (container->is_started) {
        step_probe(kubelet, pod, container, PROBE_LIVENESS, now_ms);
        step_probe(kubelet, pod, container, PROBE_READINESS, now_ms);
    }
    const struct probe *readiness = &container->probes[PROBE_READINESS];
    container->is_ready = container->is_started && !container->is_stopping &&
                          (readiness->spec == NULL || readiness->result == PROBE_SUCCESS);
}
