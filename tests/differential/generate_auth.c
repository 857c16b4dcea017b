/* SPDX-License-Identifier: Apache-2.0 */
/* Users, roles, rights and who asks. See generate.h. */
#include <string.h>

#include "base/defs.h"
#include "tests/differential/generate.h"

#define PHASE_EVERY 2500 /* operations: so often access control is switched on */
#define PHASE_OPS   900  /* and stays on for so many */

static const char *const USERS[] = {"root", "al", "bo", "cy", "", "nobody", "al"};
static const char *const ROLES[] = {"root", "r1", "r2", "r3", "", "none", "r1"};
static const char *const PASSWORDS[] = {"p1", "p2", "", "wrong"};

/* Requests borrow their texts and change nothing in them. */
#define TEXT(text) ((char *)(uintptr_t)(text))

static char *pick(struct generate *gen, const char *const *names, int64_t count)
{
    return TEXT(names[generate_below(gen, count)]);
}

/* The last ones of a table are seldom wanted. */
static char *user_name(struct generate *gen)
{
    return pick(gen, USERS, generate_once_in(gen, 12) ? (int64_t)ARRAY_COUNT(USERS) : 4);
}

static char *role_name(struct generate *gen)
{
    return pick(gen, ROLES, generate_once_in(gen, 12) ? (int64_t)ARRAY_COUNT(ROLES) : 4);
}

static void add_user(struct op_list *list, enum op_user who, const char *name, const char *password)
{
    Etcdserverpb__AuthUserAddRequest add = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    add.name = TEXT(name);
    add.password = TEXT(password);
    op_list_add(list, OP_USER_ADD, &add.base)->user = who;
}

static void add_password(struct op_list *list, enum op_user who, const char *name,
                         const char *password)
{
    Etcdserverpb__AuthUserChangePasswordRequest change =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    change.name = TEXT(name);
    change.password = TEXT(password);
    op_list_add(list, OP_USER_PASSWORD, &change.base)->user = who;
}

static void add_grant(struct op_list *list, enum op_user who, const char *user, const char *role)
{
    Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    grant.user = TEXT(user);
    grant.role = TEXT(role);
    op_list_add(list, OP_USER_GRANT, &grant.base)->user = who;
}

static void add_login(struct op_list *list, const char *name, const char *password)
{
    Etcdserverpb__AuthenticateRequest login = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    login.name = TEXT(name);
    login.password = TEXT(password);
    op_list_add(list, OP_AUTHENTICATE, &login.base);
}

static void add_switch(struct op_list *list, enum op_user who, enum op_kind kind)
{
    Etcdserverpb__AuthEnableRequest enable = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
    Etcdserverpb__AuthDisableRequest disable = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
    op_list_add(list, kind, kind == OP_AUTH_ENABLE ? &enable.base : &disable.base)->user = who;
}

/* Half of them from a few, so that they are taken back and given again. */
static void some_keys(struct generate *gen, ProtobufCBinaryData *out_key,
                      ProtobufCBinaryData *out_end)
{
    static const char *const KEYS[][2] = {
        {"a", ""}, {"a", "b"}, {"bulk/", "bulk0"}, {"b", "c"}, {"bulk/010", "bulk/100"}, {"z", ""},
    };
    if (generate_once_in(gen, 2)) {
        *out_key = generate_key(gen);
        *out_end = generate_end(gen, *out_key);
        if (gen->spares_old) { /* it takes them, and permits who knows what */
            generate_turn_round(*out_key, out_end);
            *out_key = out_key->len == 0 ? generate_bulk_key(gen, 1) : *out_key;
        }
        return;
    }
    const char *const *keys = KEYS[generate_below(gen, (int64_t)ARRAY_COUNT(KEYS))];
    *out_key = (ProtobufCBinaryData){.data = (uint8_t *)TEXT(keys[0]), .len = strlen(keys[0])};
    *out_end = (ProtobufCBinaryData){.data = (uint8_t *)TEXT(keys[1]), .len = strlen(keys[1])};
}

/* A permission of keys that the other operations use. */
static void add_permission(struct generate *gen, struct op_list *list, enum op_user who,
                           const char *role)
{
    Etcdserverpb__AuthRoleGrantPermissionRequest grant =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Authpb__Permission permission = AUTHPB__PERMISSION__INIT;
    permission.permtype = (Authpb__Permission__Type)generate_below(gen, 3);
    some_keys(gen, &permission.key, &permission.range_end);
    grant.name = TEXT(role);
    grant.perm = &permission;
    op_list_add(list, OP_ROLE_GRANT, &grant.base)->user = who;
}

/* Whatever was before: root and the others are there, access control is on, all have logged in. */
static void begin_phase(struct generate *gen)
{
    struct op_list *list = &gen->script;
    if (generate_once_in(gen, 3)) {
        Etcdserverpb__AuthUserDeleteRequest removal = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
        removal.name = TEXT(USERS[0]);
        op_list_add(list, OP_USER_DELETE, &removal.base);
        add_switch(list, USER_NOBODY, OP_AUTH_ENABLE); /* refused: there is no root */
    }
    for (int i = 0; i < 4; i++) {
        Etcdserverpb__AuthRoleAddRequest role = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
        Etcdserverpb__AuthRoleDeleteRequest old = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
        /* Beyond 12 keys of a role etcd sorts equal ones as it likes. */
        old.role = TEXT(ROLES[i]);
        op_list_add(list, OP_ROLE_DELETE, &old.base);
        add_user(list, USER_NOBODY, USERS[i], "p1");
        add_password(list, USER_NOBODY, USERS[i], "p1");
        role.name = TEXT(ROLES[i]);
        op_list_add(list, OP_ROLE_ADD, &role.base);
        add_grant(list, USER_NOBODY, USERS[i], ROLES[i]);
        add_permission(gen, list, USER_NOBODY, ROLES[BASE_MAX(i, 1)]);
    }
    add_switch(list, USER_NOBODY, OP_AUTH_ENABLE);
    for (int i = 0; i < 4; i++) {
        add_login(list, USERS[i], "p1");
    }
}

void generate_phases(struct generate *gen)
{
    uint64_t at = gen->counter % PHASE_EVERY;
    if (at == PHASE_EVERY - PHASE_OPS) {
        begin_phase(gen);
    } else if (at == PHASE_EVERY - 1 || (at == 5 && gen->seen.is_auth_on)) {
        add_login(&gen->script, "root", "p1");
        add_switch(&gen->script, USER_ROOT, OP_AUTH_DISABLE);
    }
}

/* ---- single operations ---- */

static void add_user_question(struct generate *gen, struct op_list *list, enum op_user who)
{
    Etcdserverpb__AuthUserGetRequest get = ETCDSERVERPB__AUTH_USER_GET_REQUEST__INIT;
    Etcdserverpb__AuthUserListRequest users = ETCDSERVERPB__AUTH_USER_LIST_REQUEST__INIT;
    Etcdserverpb__AuthRoleGetRequest role = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
    Etcdserverpb__AuthRoleListRequest roles = ETCDSERVERPB__AUTH_ROLE_LIST_REQUEST__INIT;
    Etcdserverpb__AuthStatusRequest status = ETCDSERVERPB__AUTH_STATUS_REQUEST__INIT;
    switch (generate_below(gen, 5)) {
    case 0:
        get.name = user_name(gen);
        op_list_add(list, OP_USER_GET, &get.base)->user = who;
        break;
    case 1:
        op_list_add(list, OP_USER_LIST, &users.base)->user = who;
        break;
    case 2:
        role.role = role_name(gen);
        op_list_add(list, OP_ROLE_GET, &role.base)->user = who;
        break;
    case 3:
        op_list_add(list, OP_ROLE_LIST, &roles.base)->user = who;
        break;
    default:
        if (gen->spares_old) { /* knows no AuthStatus */
            op_list_add(list, OP_ROLE_LIST, &roles.base)->user = who;
        } else {
            op_list_add(list, OP_AUTH_STATUS, &status.base)->user = who;
        }
        break;
    }
}

static void add_user_change(struct generate *gen, struct op_list *list, enum op_user who)
{
    Etcdserverpb__AuthUserDeleteRequest removal = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthUserRevokeRoleRequest revoke =
        ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    Etcdserverpb__AuthUserAddRequest without = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    char *name = user_name(gen);
    switch (generate_below(gen, 8)) {
    case 0:
        removal.name = name;
        op_list_add(list, OP_USER_DELETE, &removal.base)->user = who;
        break;
    case 1:
        revoke.name = name;
        revoke.role = role_name(gen);
        op_list_add(list, OP_USER_REVOKE, &revoke.base)->user = who;
        break;
    case 2:
        options.no_password = true;
        without.name = strcmp(name, USERS[0]) == 0 ? TEXT(USERS[1]) : name; /* root can log in */
        without.options = &options;
        op_list_add(list, OP_USER_ADD, &without.base)->user = who;
        break;
    case 3:
        add_user(list, who, name, pick(gen, PASSWORDS, 2));
        break;
    case 4: /* root stays who it is, or nobody could switch it off again */
        add_password(list, who, name,
                     strcmp(name, USERS[0]) == 0 ? PASSWORDS[0] : pick(gen, PASSWORDS, 2));
        if (strcmp(name, USERS[0]) == 0) {
            add_login(&gen->script, "root", "p1");
        }
        break;
    default:
        add_grant(list, who, name, role_name(gen));
        break;
    }
}

static void add_role_change(struct generate *gen, struct op_list *list, enum op_user who)
{
    Etcdserverpb__AuthRoleAddRequest add = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleDeleteRequest removal = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthRoleRevokePermissionRequest revoke =
        ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
    switch (generate_below(gen, 8)) {
    case 0:
        add.name = role_name(gen);
        op_list_add(list, OP_ROLE_ADD, &add.base)->user = who;
        break;
    case 1:
        removal.role = role_name(gen);
        op_list_add(list, OP_ROLE_DELETE, &removal.base)->user = who;
        break;
    case 2:
    case 3:
    case 4:
        revoke.role = role_name(gen);
        some_keys(gen, &revoke.key, &revoke.range_end);
        op_list_add(list, OP_ROLE_REVOKE, &revoke.base)->user = who;
        break;
    default:
        add_permission(gen, list, who, role_name(gen));
        break;
    }
}

void generate_auth(struct generate *gen, struct op_list *list)
{
    enum op_user who = generate_once_in(gen, 4) ? generate_user(gen) : USER_ROOT;
    int64_t choice = generate_below(gen, 100);
    if (choice < 25) {
        add_login(list, user_name(gen), pick(gen, PASSWORDS, generate_once_in(gen, 4) ? 4 : 2));
    } else if (choice < 50) {
        add_user_question(gen, list, who);
    } else if (choice < 72) {
        add_user_change(gen, list, who);
    } else if (choice < 98) {
        add_role_change(gen, list, who);
    } else {
        add_switch(list, who == USER_ROOT ? USER_AL : who,
                   gen->seen.is_auth_on && generate_once_in(gen, 2) ? OP_AUTH_ENABLE
                                                                    : OP_AUTH_DISABLE);
    }
}

enum op_user generate_user(struct generate *gen)
{
    int64_t choice = generate_below(gen, 100);
    /* 3.4 looks at tokens also while access control is off. */
    if (!gen->seen.is_auth_on && (choice >= 5 || gen->spares_old)) {
        return USER_NOBODY;
    }
    choice = generate_below(gen, 100);
    if (choice < 40) {
        return USER_ROOT;
    }
    if (choice < 62) {
        return USER_AL;
    }
    if (choice < 80) {
        return USER_BO;
    }
    if (choice < 90) {
        return USER_CY;
    }
    return choice < 95 ? USER_NOBODY : USER_FORGED;
}
