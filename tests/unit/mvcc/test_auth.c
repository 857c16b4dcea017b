/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, roles and permissions: merged runs against a model that looks at each key, the bytes that
 * etcd stores, the same entries on two stores, and the checks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "engine/mvcc/auth.h"
#include "engine/mvcc/auth_perm.h"
#include "lib_world.h"

static const struct bytes NO_BYTES = {NULL, 0};

static struct bytes text(const char *chars)
{
    return bytes_of_str(chars);
}

/* ---- runs ---- */

#define MODEL_LETTERS 3u
#define MODEL_KEYS    39u /* all words of one to three of three letters */

static struct bytes model_key(uint32_t number, uint8_t out[3])
{
    size_t size = 1;
    uint32_t count = MODEL_LETTERS;
    while (number >= count) {
        number -= count;
        count *= MODEL_LETTERS;
        size++;
    }
    for (size_t i = size; i > 0; i--) {
        out[i - 1] = (uint8_t)('a' + number % MODEL_LETTERS);
        number /= MODEL_LETTERS;
    }
    return bytes_of(out, size);
}

static bool run_has(struct bytes key, struct bytes range_end, struct bytes asked)
{
    if (range_end.size == 0) {
        return bytes_equal(key, asked);
    }
    bool is_open = range_end.size == 1 && range_end.data[0] == 0;
    return bytes_compare(key, asked) <= 0 && (is_open || bytes_compare(asked, range_end) < 0);
}

struct run {
    uint8_t key_bytes[3], end_bytes[3];
    struct bytes key, end;
};

static void random_run(struct rng *rng, bool may_be_odd, struct run *out)
{
    static const uint8_t zero = 0;
    do {
        out->key = model_key((uint32_t)rng_below(rng, MODEL_KEYS), out->key_bytes);
        switch (rng_below(rng, 8)) {
        case 0:
        case 1:
            out->end = NO_BYTES;
            break;
        case 2:
            out->end = bytes_of(&zero, 1);
            break;
        default:
            out->end = model_key((uint32_t)rng_below(rng, MODEL_KEYS), out->end_bytes);
            break;
        }
    } while (!may_be_odd && out->end.size > 0 && out->end.data[0] != 0 &&
             bytes_compare(out->key, out->end) >= 0);
}

/* Whether each key of the run is in one of the permissions; keys between words of the model too:
 * each word is asked with a zero byte behind it as well. */
static bool model_holds(const struct run *perms, size_t count, const struct run *asked)
{
    static const uint8_t high[] = "zzz";
    for (uint32_t k = 0; k <= 2 * MODEL_KEYS; k++) {
        uint8_t word[4] = {0};
        uint8_t letters[3];
        struct bytes key = bytes_of(high, 3);
        if (k < 2 * MODEL_KEYS) {
            struct bytes half = model_key(k / 2, letters);
            memcpy(word, half.data, half.size);
            key = bytes_of(word, half.size + k % 2);
        }
        bool held = false;
        if (!run_has(asked->key, asked->end, key)) {
            continue;
        }
        for (size_t i = 0; i < count && !held; i++) {
            held = run_has(perms[i].key, perms[i].end, key);
        }
        if (!held) {
            return false;
        }
    }
    return true;
}

static void merged_runs_hold_what_each_key_alone_is_held_by(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4711);
    for (int round = 0; round < 3000; round++) {
        struct run perms[6];
        struct perm_set set;
        struct arena arena;
        size_t count = (size_t)rng_below(&rng, ARRAY_COUNT(perms) + 1);
        arena_init(&arena, BUF_NO_LIMIT);
        perm_set_init(&set);
        for (size_t i = 0; i < count; i++) {
            random_run(&rng, false, &perms[i]);
            perm_set_add(&set, perms[i].key, perms[i].end, &arena);
        }
        perm_set_finish(&set);
        for (int question = 0; question < 20; question++) {
            struct run asked;
            random_run(&rng, false, &asked);
            assert_int_equal(perm_set_holds(&set, asked.key, asked.end),
                             model_holds(perms, count, &asked));
        }
        perm_set_free(&set);
        arena_free(&arena);
    }
}

static void a_run_of_one_key_is_not_a_run_of_all_that_follow(void **state)
{
    static const uint8_t zero = 0;
    (void)state;
    struct perm_set set;
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    perm_set_init(&set);
    perm_set_add(&set, text("k"), NO_BYTES, &arena);
    perm_set_add(&set, text("m"), text("p"), &arena);
    perm_set_add(&set, text("p"), text("q"), &arena);
    perm_set_finish(&set);
    assert_true(perm_set_holds(&set, text("k"), NO_BYTES));
    assert_false(perm_set_holds(&set, text("k"), bytes_of(&zero, 1)));
    assert_false(perm_set_holds(&set, text("k"), text("l")));
    assert_true(perm_set_holds(&set, text("m"), text("q"))); /* two that touch */
    assert_false(perm_set_holds(&set, text("m"), text("qa")));
    assert_false(perm_set_holds(&set, text("m"), bytes_of(&zero, 1)));
    assert_false(perm_set_holds(&set, NO_BYTES, NO_BYTES));
    perm_set_free(&set);
    arena_free(&arena);
}

/* A run whose end is not behind its begin holds nothing, and is refused or not as in etcd: by
 * whether one permission alone spans from its end to its begin. */
static void runs_that_hold_nothing_are_judged_as_etcd_judges_them(void **state)
{
    (void)state;
    struct perm_set set;
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    perm_set_init(&set);
    perm_set_add(&set, text("a"), text("c"), &arena);
    perm_set_add(&set, text("c"), text("f"), &arena);
    perm_set_finish(&set);
    assert_true(perm_set_holds(&set, text("e"), text("d")));
    assert_false(perm_set_holds(&set, text("d"), text("b"))); /* only both together span it */
    assert_false(perm_set_holds(&set, text("h"), text("g")));
    perm_set_free(&set);
    arena_free(&arena);
}

/* ---- users and roles ---- */

struct auth_world {
    struct world world;
    struct auth *auth;
};

static void auth_world_open(struct auth_world *w)
{
    world_open(&w->world, NULL);
    w->auth = auth_new(NULL, NULL);
}

static void auth_world_close(struct auth_world *w)
{
    auth_free(w->auth);
    world_close(&w->world);
}

static enum etcd_error add_user(struct auth_world *w, const char *name)
{
    Etcdserverpb__AuthUserAddRequest add = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    add.name = (char *)(uintptr_t)name;
    add.hashedpassword = (char *)(uintptr_t) "aGFzaA=="; /* "hash" */
    return auth_user_add(w->auth, &add, &w->world.batch);
}

static enum etcd_error grant(struct auth_world *w, const char *role, const char *key,
                             struct bytes end, Authpb__Permission__Type type)
{
    Etcdserverpb__AuthRoleGrantPermissionRequest request =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Authpb__Permission perm = AUTHPB__PERMISSION__INIT;
    request.name = (char *)(uintptr_t)role;
    request.perm = &perm;
    perm.permtype = type;
    perm.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    perm.range_end = (ProtobufCBinaryData){end.size, (uint8_t *)(uintptr_t)end.data};
    return auth_role_grant_permission(w->auth, &request, &w->world.batch);
}

static void assert_stored(struct auth_world *w, enum store_table table, const char *key,
                          const char *value, size_t size)
{
    struct store_view *view;
    struct bytes found;
    assert_int_equal(w->world.seam->view_begin(w->world.seam->ctx, &view), 0);
    assert_int_equal(w->world.seam->view_get(view, table, text(key), &found), 0);
    assert_int_equal(found.size, size);
    assert_memory_equal(found.data, value, size);
    w->world.seam->view_end(view);
}

/* Bytes as in a database of etcd 3.6. */
static void rows_are_those_of_etcd(void **state)
{
    (void)state;
    struct auth_world w;
    auth_world_open(&w);
    assert_int_equal(add_user(&w, "root"), ETCD_OK);
    assert_int_equal(auth_role_add(w.auth, "r", &w.world.batch), ETCD_OK);
    assert_int_equal(grant(&w, "r", "k", text("l"), AUTHPB__PERMISSION__TYPE__READWRITE), ETCD_OK);
    assert_int_equal(grant(&w, "r", "a", NO_BYTES, AUTHPB__PERMISSION__TYPE__READ), ETCD_OK);
    assert_int_equal(auth_user_grant_role(w.auth, "root", "root", &w.world.batch), ETCD_OK);
    assert_int_equal(auth_user_grant_role(w.auth, "root", "r", &w.world.batch), ETCD_OK);
    assert_int_equal(auth_enable(w.auth, &w.world.batch), ETCD_OK);
    world_commit(&w.world, 1);
    assert_stored(&w, STORE_AUTH, "authEnabled", "\x01", 1);
    assert_stored(&w, STORE_AUTH, "authRevision", "\0\0\0\0\0\0\0\x07", 8);
    static const char user[] = "\x0a\x04root\x12\x04hash\x1a\x01r\x1a\x04root\x22\x00";
    assert_stored(&w, STORE_AUTH_USERS, "root", user, sizeof(user) - 1);
    static const char role[] = "\x0a\x01r\x12\x03\x12\x01"
                               "a\x12\x08\x08\x02\x12\x01k\x1a\x01l";
    assert_stored(&w, STORE_AUTH_ROLES, "r", role, sizeof(role) - 1);
    auth_world_close(&w);
}

/* One random change, by number; the same numbers give the same entry. */
static enum etcd_error random_change(struct auth_world *w, struct rng *rng)
{
    static const char *const names[] = {"root", "al", "bo", "cy"};
    static const char *const roles[] = {"root", "ra", "rb", "rc"};
    static const uint8_t zero = 0;
    const char *user = names[rng_below(rng, 4)];
    const char *role = roles[rng_below(rng, 4)];
    struct run run;
    char key[4] = {0};
    Etcdserverpb__AuthUserChangePasswordRequest change =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    random_run(rng, true, &run);
    memcpy(key, run.key.data, run.key.size);
    switch (rng_below(rng, 14)) {
    case 0:
    case 1:
        return add_user(w, user);
    case 2:
        return auth_user_delete(w->auth, user, &w->world.batch);
    case 3:
        change.name = (char *)(uintptr_t)user;
        change.hashedpassword = (char *)(uintptr_t)(rng_below(rng, 2) == 0 ? "AAECAw==" : "%");
        return auth_user_change_password(w->auth, &change, &w->world.batch);
    case 4:
    case 5:
        return auth_user_grant_role(w->auth, user, role, &w->world.batch);
    case 6:
        return auth_user_revoke_role(w->auth, user, role, &w->world.batch);
    case 7:
        return auth_role_add(w->auth, role, &w->world.batch);
    case 8:
        return auth_role_delete(w->auth, role, &w->world.batch);
    case 9:
    case 10:
        return grant(w, role, key, rng_below(rng, 8) == 0 ? bytes_of(&zero, 1) : run.end,
                     (Authpb__Permission__Type)rng_below(rng, 3));
    case 11:
        return auth_role_revoke_permission(w->auth, role, run.key, run.end, &w->world.batch);
    case 12:
        return auth_enable(w->auth, &w->world.batch);
    default:
        auth_disable(w->auth, &w->world.batch);
        return ETCD_OK;
    }
}

static void assert_same_rows(const struct auth_world *a, const struct auth_world *b)
{
    for (int table = STORE_AUTH; table <= STORE_AUTH_ROLES; table++) {
        struct store_view *views[2];
        struct store_item items[2];
        int codes[2];
        const struct auth_world *both[] = {a, b};
        for (size_t i = 0; i < 2; i++) {
            const struct store_seam *seam = both[i]->world.seam;
            assert_int_equal(seam->view_begin(seam->ctx, &views[i]), 0);
            codes[i] = seam->view_seek(views[i], (enum store_table)table, NO_BYTES, &items[i]);
        }
        while (codes[0] == 0 && codes[1] == 0) {
            assert_true(bytes_equal(items[0].key, items[1].key));
            assert_true(bytes_equal(items[0].value, items[1].value));
            for (size_t i = 0; i < 2; i++) {
                codes[i] =
                    both[i]->world.seam->view_next(views[i], (enum store_table)table, &items[i]);
            }
        }
        assert_int_equal(codes[0], E_NOT_FOUND);
        assert_int_equal(codes[1], E_NOT_FOUND);
        for (size_t i = 0; i < 2; i++) {
            both[i]->world.seam->view_end(views[i]);
        }
    }
}

static void reload(struct auth_world *w)
{
    struct store_view *view;
    struct err err;
    auth_free(w->auth);
    w->auth = auth_new(NULL, NULL);
    assert_int_equal(w->world.seam->view_begin(w->world.seam->ctx, &view), 0);
    assert_int_equal(auth_load(w->auth, w->world.seam, view, &err), 0);
    w->world.seam->view_end(view);
}

/* One of the two is closed and read again all the time: what is in memory is what is stored. */
static void the_same_entries_give_the_same_rows_and_answers(void **state)
{
    (void)state;
    struct auth_world a;
    struct auth_world b;
    struct rng rng_a;
    struct rng rng_b;
    uint64_t fine = 0;
    auth_world_open(&a);
    auth_world_open(&b);
    auth_save_first(a.auth, &a.world.batch);
    auth_save_first(b.auth, &b.world.batch);
    rng_seed(&rng_a, 99);
    rng_seed(&rng_b, 99);
    for (uint64_t i = 1; i <= 1500; i++) {
        enum etcd_error error = random_change(&a, &rng_a);
        fine += error == ETCD_OK ? 1 : 0;
        assert_int_equal(error, random_change(&b, &rng_b));
        assert_int_equal(auth_revision(a.auth), auth_revision(b.auth));
        assert_int_equal(auth_is_enabled(a.auth), auth_is_enabled(b.auth));
        if (i % 10 == 0) {
            world_commit(&a.world, i);
            world_commit(&b.world, i);
            reload(&b);
            struct auth_who who = {"al", auth_revision(a.auth)};
            struct run run;
            random_run(&rng_a, true, &run);
            random_run(&rng_b, true, &run);
            assert_int_equal(auth_check_span(a.auth, &who, AUTH_READ, run.key, run.end),
                             auth_check_span(b.auth, &who, AUTH_READ, run.key, run.end));
        }
        if (i % 250 == 0) {
            assert_same_rows(&a, &b);
        }
    }
    assert_true(fine > 300);
    auth_world_close(&a);
    auth_world_close(&b);
}

static void who_asks_is_looked_at_in_etcds_order(void **state)
{
    (void)state;
    struct auth_world w;
    auth_world_open(&w);
    struct auth_who nobody = {"", 0};
    struct auth_who al = {"al", 0};
    struct auth_who root = {"root", 0};
    assert_int_equal(auth_check_span(w.auth, &nobody, AUTH_WRITE, text("k"), NO_BYTES), ETCD_OK);
    assert_int_equal(auth_enable(w.auth, &w.world.batch), ETCD_ERR_ROOT_USER_NOT_EXIST);
    assert_int_equal(add_user(&w, "root"), ETCD_OK);
    assert_int_equal(add_user(&w, "al"), ETCD_OK);
    assert_int_equal(auth_enable(w.auth, &w.world.batch), ETCD_ERR_ROOT_ROLE_NOT_EXIST);
    assert_int_equal(auth_user_grant_role(w.auth, "root", "root", &w.world.batch), ETCD_OK);
    assert_int_equal(auth_role_add(w.auth, "r", &w.world.batch), ETCD_OK);
    assert_int_equal(grant(&w, "r", "k", NO_BYTES, AUTHPB__PERMISSION__TYPE__READ), ETCD_OK);
    assert_int_equal(auth_user_grant_role(w.auth, "al", "r", &w.world.batch), ETCD_OK);
    assert_int_equal(auth_enable(w.auth, &w.world.batch), ETCD_OK);
    al.revision = root.revision = auth_revision(w.auth);
    assert_int_equal(auth_check_span(w.auth, &nobody, AUTH_READ, text("k"), NO_BYTES),
                     ETCD_ERR_USER_EMPTY);
    assert_int_equal(auth_check_span(w.auth, &al, AUTH_READ, text("k"), NO_BYTES), ETCD_OK);
    assert_int_equal(auth_check_span(w.auth, &al, AUTH_WRITE, text("k"), NO_BYTES),
                     ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(auth_check_span(w.auth, &root, AUTH_WRITE, text("any"), NO_BYTES), ETCD_OK);
    assert_int_equal(auth_check_root(w.auth, &al), ETCD_ERR_PERMISSION_DENIED);
    assert_int_equal(auth_check_root(w.auth, &nobody), ETCD_ERR_USER_EMPTY);
    assert_int_equal(auth_user_delete(w.auth, "root", &w.world.batch), ETCD_ERR_INVALID_AUTH_MGMT);
    assert_int_equal(auth_role_delete(w.auth, "root", &w.world.batch), ETCD_ERR_INVALID_AUTH_MGMT);
    assert_int_equal(auth_user_revoke_role(w.auth, "root", "root", &w.world.batch),
                     ETCD_ERR_INVALID_AUTH_MGMT);
    assert_int_equal(grant(&w, "r", "z", NO_BYTES, AUTHPB__PERMISSION__TYPE__READ), ETCD_OK);
    assert_int_equal(auth_check_span(w.auth, &al, AUTH_READ, text("k"), NO_BYTES),
                     ETCD_ERR_AUTH_OLD_REVISION);
    al.revision = auth_revision(w.auth);
    assert_int_equal(auth_check_span(w.auth, &al, AUTH_READ, text("z"), NO_BYTES), ETCD_OK);
    assert_int_equal(auth_role_delete(w.auth, "r", &w.world.batch), ETCD_OK);
    assert_false(auth_user_has_role(w.auth, "al", "r"));
    auth_world_close(&w);
}

static void a_name_longer_than_a_key_of_the_store_lives_on(void **state)
{
    (void)state;
    struct auth_world w;
    char name[2000];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    auth_world_open(&w);
    assert_int_equal(add_user(&w, name), ETCD_OK);
    name[sizeof(name) - 2] = 'm'; /* another that begins the same */
    assert_int_equal(add_user(&w, name), ETCD_OK);
    world_commit(&w.world, 1);
    reload(&w);
    assert_int_equal(auth_user_count(w.auth), 2);
    assert_non_null(auth_user(w.auth, name));
    assert_int_equal(auth_user_delete(w.auth, name, &w.world.batch), ETCD_OK);
    world_commit(&w.world, 2);
    reload(&w);
    assert_int_equal(auth_user_count(w.auth), 1);
    assert_null(auth_user(w.auth, name));
    auth_world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_runs_hold_what_each_key_alone_is_held_by),
        cmocka_unit_test(a_run_of_one_key_is_not_a_run_of_all_that_follow),
        cmocka_unit_test(runs_that_hold_nothing_are_judged_as_etcd_judges_them),
        cmocka_unit_test(rows_are_those_of_etcd),
        cmocka_unit_test(the_same_entries_give_the_same_rows_and_answers),
        cmocka_unit_test(who_asks_is_looked_at_in_etcds_order),
        cmocka_unit_test(a_name_longer_than_a_key_of_the_store_lives_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
