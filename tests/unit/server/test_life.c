/* SPDX-License-Identifier: Apache-2.0 */
/* Whole servers in this process: they start, stop and fail to start without leaving anything. */
#include <arpa/inet.h>
#include <lmdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/log.h"
#include "engine/server/config.h"
#include "engine/server/server.h"

struct life {
    char *dir;
    struct server_config config;
    pthread_t thread;
    int rc;
    int signal_number;
    struct err err;
    uint16_t client_port, peer_port;
};

/* A port that is free now. */
static uint16_t free_port(int *out_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *out_fd = fd;
    return ntohs(address.sin_port);
}

/* Extra arguments end with NULL. */
static void life_configure(struct life *life, const char *const *extra)
{
    char program[] = "quorate";
    char *argv[40] = {program};
    int argc = 1;
    int exit_code;
    char *made[] = {
        str_printf("--data-dir=%s/m1", life->dir),
        str_printf("--listen-client-urls=http://127.0.0.1:%u", life->client_port),
        str_printf("--advertise-client-urls=http://127.0.0.1:%u", life->client_port),
        str_printf("--listen-peer-urls=http://127.0.0.1:%u", life->peer_port),
        str_printf("--initial-advertise-peer-urls=http://127.0.0.1:%u", life->peer_port)};
    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        argv[argc++] = made[i];
    }
    for (size_t i = 0; extra != NULL && extra[i] != NULL; i++) {
        argv[argc++] = (char *)(uintptr_t)extra[i];
    }
    assert_int_equal(config_read(argc, argv, &life->config, &exit_code, &life->err), CONFIG_RUN);
    log_set_level(LOG_LEVEL_PANIC);
    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        mem_free(made[i]);
    }
}

static struct life *life_new(void)
{
    struct life *life = mem_zalloc(sizeof(*life));
    int fds[2];
    char name[] = "/tmp/quorate-life-XXXXXX";
    assert_non_null(mkdtemp(name));
    life->dir = str_dup(name);
    life->client_port = free_port(&fds[0]);
    life->peer_port = free_port(&fds[1]);
    close(fds[0]);
    close(fds[1]);
    return life;
}

static void life_free(struct life *life)
{
    char *command = str_printf("rm -rf '%s'", life->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(life->dir);
    mem_free(life);
}

static void *life_main(void *arg)
{
    struct life *life = arg;
    life->rc = server_run(&life->config, &life->signal_number, &life->err);
    return NULL;
}

static void life_start(struct life *life, const char *const *extra)
{
    life_configure(life, extra);
    assert_int_equal(pthread_create(&life->thread, NULL, life_main, life), 0);
}

static void life_join(struct life *life)
{
    pthread_join(life->thread, NULL);
    config_free(&life->config);
}

static void life_stop(struct life *life)
{
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    life_join(life);
    assert_int_equal(life->rc, 0);
    assert_int_equal(life->signal_number, SIGTERM);
}

static int life_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The status of GET path; 0 while nobody answers. */
static int life_get(uint16_t port, const char *path)
{
    char text[256];
    int status = 0;
    int fd = life_connect(port);
    if (fd < 0) {
        return 0;
    }
    int size = snprintf(text, sizeof(text),
                        "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    if (write(fd, text, (size_t)size) == size) {
        ssize_t got = read(fd, text, sizeof(text) - 1);
        text[got > 0 ? got : 0] = '\0';
        (void)sscanf(text, "HTTP/1.1 %d", &status);
    }
    close(fd);
    return status;
}

static void life_until_healthy(struct life *life)
{
    for (int i = 0; i < 3000; i++) {
        if (life_get(life->client_port, "/health") == 200) {
            return;
        }
        usleep(10000);
    }
    fail_msg("the member did not become healthy");
}

static void a_member_starts_stops_and_starts_again(void **state)
{
    (void)state;
    struct life *life = life_new();
    for (int i = 0; i < 2; i++) {
        life_start(life, NULL);
        life_until_healthy(life);
        life_stop(life);
    }
    life_free(life);
}

/* One of two: no leader, so that requests and probes wait when the end comes. */
static void a_member_without_a_leader_stops_with_requests_that_wait(void **state)
{
    (void)state;
    struct life *life = life_new();
    char *cluster = str_printf(
        "--initial-cluster=default=http://127.0.0.1:%u,other=http://127.0.0.1:1", life->peer_port);
    const char *extra[] = {cluster, NULL};
    life_start(life, extra);
    int status = 0;
    for (int i = 0; i < 1000 && status == 0; i++) {
        status = life_get(life->client_port, "/health");
        usleep(10000);
    }
    assert_int_equal(status, 503);
    int waiting = life_connect(life->client_port);
    static const char READY[] = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(write(waiting, READY, sizeof(READY) - 1), sizeof(READY) - 1);
    int idle = life_connect(life->peer_port);
    usleep(100000);
    life_stop(life);
    close(waiting);
    close(idle);
    mem_free(cluster);
    life_free(life);
}

/* ---- what cannot start says why, and leaves nothing ---- */

static void expect_failure(struct life *life, const char *const *extra, const char *text)
{
    life_start(life, extra);
    life_join(life);
    assert_true(life->rc < 0);
    if (strstr(life->err.text, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", life->err.text, text);
    }
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    int fd;
    life->client_port = free_port(&fd);
    assert_int_equal(listen(fd, 1), 0);
    expect_failure(life, NULL, "address already in use");
    close(fd);
    life_free(life);
}

static void a_name_that_is_not_in_the_initial_cluster_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    const char *extra[] = {"--initial-cluster=other=http://127.0.0.1:1", NULL};
    expect_failure(life, extra, "couldn't find local name \"default\"");
    life_free(life);
}

static void an_initial_cluster_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    const char *extra[] = {"--initial-cluster=default", NULL};
    expect_failure(life, extra, "--initial-cluster");
    life_free(life);
}

static void a_cluster_to_join_that_nobody_answers_for_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    char *cluster = str_printf(
        "--initial-cluster=default=http://127.0.0.1:%u,other=http://127.0.0.1:1", life->peer_port);
    const char *extra[] = {cluster, "--initial-cluster-state=existing", NULL};
    expect_failure(life, extra, "cannot fetch cluster info from peer urls");
    mem_free(cluster);
    life_free(life);
}

static void a_data_directory_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    char *path = str_printf("%s/m1", life->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    expect_failure(life, NULL, path);
    mem_free(path);
    life_free(life);
}

static void a_store_that_was_lost_is_named(void **state)
{
    (void)state;
    struct life *life = life_new();
    const char *extra[] = {"--snapshot-count=1", "--snapshot-catchup-entries=1", NULL};
    life_start(life, extra);
    life_until_healthy(life);
    for (int i = 0; i < 500; i++) { /* its first entries give a snapshot file */
        char *listing = str_printf("ls %s/m1/member/snap/*.snap >/dev/null 2>&1", life->dir);
        int found = system(listing);
        mem_free(listing);
        if (found == 0) {
            break;
        }
        usleep(10000);
    }
    life_stop(life);
    char *command = str_printf("rm -rf '%s/m1/member/store'", life->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    expect_failure(life, NULL, "the store was replaced or lost");
    life_free(life);
}

/* ---- releases ---- */

/* Each file's name and checksum. */
static char *digest_of(const char *dir)
{
    char *command =
        str_printf("cd '%s' && find . | sort | while read f; do echo \"$f\" $(test -f \"$f\" && "
                   "sha256sum < \"$f\"); done",
                   dir);
    char *text = mem_zalloc(65536);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    size_t size = fread(text, 1, 65535, out);
    assert_true(size > 0);
    assert_int_equal(pclose(out), 0);
    mem_free(command);
    return text;
}

static void set_format(const struct life *life, uint64_t number)
{
    char *path = str_printf("%s/m1/member/store/quorate.lmdb", life->dir);
    uint8_t bytes[8];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    char name[] = "version";
    MDB_val key = {strlen(name), name};
    MDB_val value = {sizeof(bytes), bytes};
    put_be64(bytes, number);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 1), 0);
    assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "format", MDB_CREATE, &table), 0);
    assert_int_equal(mdb_put(txn, table, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    mem_free(path);
}

static void a_store_of_a_newer_release_is_refused_and_nothing_is_changed(void **state)
{
    (void)state;
    struct life *life = life_new();
    life_start(life, NULL);
    life_until_healthy(life);
    life_stop(life);
    set_format(life, 2);
    char *before = digest_of(life->dir);
    expect_failure(life, NULL,
                   "is of format 2, which a newer release made; this one reads up to 1");
    char *after = digest_of(life->dir);
    assert_string_equal(before, after);
    set_format(life, 1);
    life_start(life, NULL);
    life_until_healthy(life);
    life_stop(life);
    mem_free(before);
    mem_free(after);
    life_free(life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_starts_stops_and_starts_again),
        cmocka_unit_test(a_member_without_a_leader_stops_with_requests_that_wait),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_name_that_is_not_in_the_initial_cluster_is_named),
        cmocka_unit_test(an_initial_cluster_that_cannot_be_read_is_named),
        cmocka_unit_test(a_cluster_to_join_that_nobody_answers_for_is_named),
        cmocka_unit_test(a_data_directory_that_cannot_be_made_is_named),
        cmocka_unit_test(a_store_that_was_lost_is_named),
        cmocka_unit_test(a_store_of_a_newer_release_is_refused_and_nothing_is_changed),
    };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
