/* SPDX-License-Identifier: Apache-2.0 */
/* The table. tests/unit/server/test_authz.c walks all RPCs and messages and finds what is missing.
 */
#include "engine/server/authz.h"

#define CHECKED(need, when)                                                                        \
    {                                                                                              \
        AUTHZ_##need, AUTHZ_##when                                                                 \
    }

const struct authz_row AUTHZ_ROWS[RPC_COUNT] = {
    [RPC_RANGE] = CHECKED(FIELDS, ANSWERED),
    [RPC_RANGE_STREAM] = CHECKED(FIELDS, ANSWERED), /* again when users change on its way */
    [RPC_PUT] = CHECKED(FIELDS, APPLIED),
    [RPC_DELETE_RANGE] = CHECKED(FIELDS, APPLIED),
    [RPC_TXN] = CHECKED(FIELDS, APPLIED), /* when it only reads: answered */
    [RPC_COMPACT] = CHECKED(ROOT, AT_ONCE),
    [RPC_WATCH] = CHECKED(FIELDS, ANSWERED),
    [RPC_LEASE_GRANT] = CHECKED(USER, AT_ONCE),
    [RPC_LEASE_REVOKE] = CHECKED(USER, AT_ONCE), /* and its entry, by the keys of the lease */
    [RPC_LEASE_KEEP_ALIVE] = CHECKED(FIELDS, ANSWERED),
    [RPC_LEASE_TIME_TO_LIVE] = CHECKED(FIELDS, ANSWERED),
    [RPC_LEASE_LEASES] = CHECKED(FIELDS, ANSWERED),
    [RPC_MEMBER_ADD] = CHECKED(ROOT, AT_ONCE),
    [RPC_MEMBER_REMOVE] = CHECKED(ROOT, AT_ONCE),
    [RPC_MEMBER_UPDATE] = CHECKED(ROOT, AT_ONCE),
    [RPC_MEMBER_LIST] = CHECKED(USER, ANSWERED),
    [RPC_MEMBER_PROMOTE] = CHECKED(ROOT, AT_ONCE),
    [RPC_ALARM] = CHECKED(FIELDS, AT_ONCE),
    [RPC_STATUS] = CHECKED(USER, AT_ONCE),
    [RPC_HASH_KV] = CHECKED(ROOT, AT_ONCE),
    [RPC_DEFRAGMENT] = CHECKED(ROOT, AT_ONCE),
    [RPC_SNAPSHOT] = CHECKED(ROOT, AT_ONCE),
    [RPC_MOVE_LEADER] = CHECKED(ROOT, AT_ONCE),
    [RPC_HEALTH_CHECK] = CHECKED(NOTHING, AT_ONCE),
    [RPC_HEALTH_WATCH] = CHECKED(NOTHING, AT_ONCE),
    [RPC_HEALTH_LIST] = CHECKED(NOTHING, AT_ONCE),
    [RPC_HASH] = CHECKED(ROOT, AT_ONCE),
    [RPC_DOWNGRADE] = CHECKED(ROOT, AT_ONCE),
    [RPC_LOCK] = CHECKED(PARTS, AT_ONCE),
    [RPC_UNLOCK] = CHECKED(PARTS, AT_ONCE),
    [RPC_CAMPAIGN] = CHECKED(PARTS, AT_ONCE),
    [RPC_PROCLAIM] = CHECKED(PARTS, AT_ONCE),
    [RPC_LEADER] = CHECKED(PARTS, AT_ONCE),
    [RPC_OBSERVE] = CHECKED(PARTS, AT_ONCE),
    [RPC_RESIGN] = CHECKED(PARTS, AT_ONCE),
    [RPC_AUTH_ENABLE] = CHECKED(ROOT, APPLIED),
    [RPC_AUTH_DISABLE] = CHECKED(ROOT, APPLIED),
    [RPC_AUTH_STATUS] = CHECKED(ROOT, APPLIED), /* below 3.5: answered */
    [RPC_AUTHENTICATE] = CHECKED(NOTHING, AT_ONCE),
    [RPC_USER_ADD] = CHECKED(ROOT, APPLIED),
    [RPC_USER_GET] = CHECKED(FIELDS, APPLIED),
    [RPC_USER_LIST] = CHECKED(ROOT, APPLIED),
    [RPC_USER_DELETE] = CHECKED(ROOT, APPLIED),
    [RPC_USER_CHANGE_PASSWORD] = CHECKED(ROOT, APPLIED),
    [RPC_USER_GRANT_ROLE] = CHECKED(ROOT, APPLIED),
    [RPC_USER_REVOKE_ROLE] = CHECKED(ROOT, APPLIED),
    [RPC_ROLE_ADD] = CHECKED(ROOT, APPLIED),
    [RPC_ROLE_GET] = CHECKED(FIELDS, APPLIED),
    [RPC_ROLE_LIST] = CHECKED(ROOT, APPLIED),
    [RPC_ROLE_DELETE] = CHECKED(ROOT, APPLIED),
    [RPC_ROLE_GRANT_PERMISSION] = CHECKED(ROOT, APPLIED),
    [RPC_ROLE_REVOKE_PERMISSION] = CHECKED(ROOT, APPLIED),
};

#define OF(name) &etcdserverpb__##name##__descriptor

const struct authz_rule AUTHZ_RULES[] = {
    {OF(range_request), RIGHT_READ, "key", "range_end", NULL},
    {OF(put_request), RIGHT_WRITE, "key", NULL, NULL},
    {OF(put_request), RIGHT_LEASE_WRITE, "lease", NULL, NULL}, /* it could not be revoked else */
    {OF(put_request), RIGHT_READ, "key", NULL, "prev_kv"},
    {OF(delete_range_request), RIGHT_WRITE, "key", "range_end", NULL},
    {OF(delete_range_request), RIGHT_READ, "key", "range_end", "prev_kv"},
    {OF(compare), RIGHT_READ, "key", "range_end", NULL},
    {OF(txn_request), RIGHT_PARTS, NULL, NULL, NULL},
    {OF(request_op), RIGHT_PARTS, NULL, NULL, NULL},
    {OF(watch_request), RIGHT_PARTS, NULL, NULL, NULL},
    {OF(watch_create_request), RIGHT_READ, "key", "range_end", NULL},
    {OF(watch_cancel_request), RIGHT_NONE, NULL, NULL, NULL},
    {OF(watch_progress_request), RIGHT_NONE, NULL, NULL, NULL},
    {OF(lease_revoke_request), RIGHT_LEASE_WRITE, "ID", NULL, NULL},
    {OF(lease_keep_alive_request), RIGHT_USER, NULL, NULL, NULL},
    {OF(lease_keep_alive_request), RIGHT_LEASE_WRITE, "ID", NULL, NULL},
    {OF(lease_time_to_live_request), RIGHT_USER, NULL, NULL, NULL},
    {OF(lease_time_to_live_request), RIGHT_LEASE_READ, "ID", NULL, "keys"},
    {OF(lease_leases_request), RIGHT_USER, NULL, NULL, NULL},
    {OF(lease_leases_request), RIGHT_LEASES_READ, NULL, NULL, NULL},
    {OF(alarm_request), RIGHT_USER, NULL, NULL, NULL},
    {OF(alarm_request), RIGHT_ROOT, "action", NULL, NULL}, /* GET is 0 */
    {OF(auth_user_get_request), RIGHT_SELF, "name", NULL, NULL},
    {OF(auth_role_get_request), RIGHT_OWN_ROLE, "role", NULL, NULL},
};
const size_t AUTHZ_RULE_COUNT = ARRAY_COUNT(AUTHZ_RULES);

/*
 * Members of both kinds must refuse the same entries, so these are etcd's: what is not asked here
 * is asked before the entry is proposed.
 */
const struct authz_entry_row AUTHZ_ENTRIES[] = {
    {2, AUTHZ_NOTHING},    /* v2 */
    {3, AUTHZ_FIELDS},     /* range */
    {4, AUTHZ_FIELDS},     /* put */
    {5, AUTHZ_FIELDS},     /* delete_range */
    {6, AUTHZ_FIELDS},     /* txn */
    {7, AUTHZ_NOTHING},    /* compaction */
    {8, AUTHZ_NOTHING},    /* lease_grant */
    {9, AUTHZ_FIELDS},     /* lease_revoke */
    {10, AUTHZ_NOTHING},   /* alarm */
    {11, AUTHZ_NOTHING},   /* lease_checkpoint */
    {1000, AUTHZ_ROOT},    /* auth_enable */
    {1011, AUTHZ_ROOT},    /* auth_disable */
    {1012, AUTHZ_NOTHING}, /* authenticate: the password was right where it was asked */
    {1013, AUTHZ_ROOT},    /* auth_status */
    {1100, AUTHZ_ROOT},    /* auth_user_add */
    {1101, AUTHZ_ROOT},    /* auth_user_delete */
    {1102, AUTHZ_FIELDS},  /* auth_user_get */
    {1103, AUTHZ_ROOT},    /* auth_user_change_password */
    {1104, AUTHZ_ROOT},    /* auth_user_grant_role */
    {1105, AUTHZ_ROOT},    /* auth_user_revoke_role */
    {1106, AUTHZ_ROOT},    /* auth_user_list */
    {1107, AUTHZ_ROOT},    /* auth_role_list */
    {1200, AUTHZ_ROOT},    /* auth_role_add */
    {1201, AUTHZ_ROOT},    /* auth_role_delete */
    {1202, AUTHZ_FIELDS},  /* auth_role_get */
    {1203, AUTHZ_ROOT},    /* auth_role_grant_permission */
    {1204, AUTHZ_ROOT},    /* auth_role_revoke_permission */
    {1300, AUTHZ_NOTHING}, /* cluster_version_set */
    {1301, AUTHZ_NOTHING}, /* cluster_member_attr_set */
    {1302, AUTHZ_NOTHING}, /* downgrade_info_set */
    {9900, AUTHZ_NOTHING}, /* downgrade_version_test */
};
const size_t AUTHZ_ENTRY_COUNT = ARRAY_COUNT(AUTHZ_ENTRIES);
