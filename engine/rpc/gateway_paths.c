/* SPDX-License-Identifier: Apache-2.0 */
/* etcd's paths. */
#include "engine/rpc/gateway_paths.h"

#include <string.h>

#include "base/defs.h"
#include "rpc.pb-c.h"
#include "v3election.pb-c.h"
#include "v3lock.pb-c.h"

static const struct gateway_path PATHS[] = {
    {"kv/range", &etcdserverpb__kv__descriptor, "Range"},
    {"kv/put", &etcdserverpb__kv__descriptor, "Put"},
    {"kv/deleterange", &etcdserverpb__kv__descriptor, "DeleteRange"},
    {"kv/txn", &etcdserverpb__kv__descriptor, "Txn"},
    {"kv/compaction", &etcdserverpb__kv__descriptor, "Compact"},
    {"watch", &etcdserverpb__watch__descriptor, "Watch"},
    {"lease/grant", &etcdserverpb__lease__descriptor, "LeaseGrant"},
    {"lease/revoke", &etcdserverpb__lease__descriptor, "LeaseRevoke"},
    {"kv/lease/revoke", &etcdserverpb__lease__descriptor, "LeaseRevoke"},
    {"lease/keepalive", &etcdserverpb__lease__descriptor, "LeaseKeepAlive"},
    {"lease/timetolive", &etcdserverpb__lease__descriptor, "LeaseTimeToLive"},
    {"kv/lease/timetolive", &etcdserverpb__lease__descriptor, "LeaseTimeToLive"},
    {"lease/leases", &etcdserverpb__lease__descriptor, "LeaseLeases"},
    {"kv/lease/leases", &etcdserverpb__lease__descriptor, "LeaseLeases"},
    {"cluster/member/add", &etcdserverpb__cluster__descriptor, "MemberAdd"},
    {"cluster/member/remove", &etcdserverpb__cluster__descriptor, "MemberRemove"},
    {"cluster/member/update", &etcdserverpb__cluster__descriptor, "MemberUpdate"},
    {"cluster/member/list", &etcdserverpb__cluster__descriptor, "MemberList"},
    {"cluster/member/promote", &etcdserverpb__cluster__descriptor, "MemberPromote"},
    {"maintenance/alarm", &etcdserverpb__maintenance__descriptor, "Alarm"},
    {"maintenance/status", &etcdserverpb__maintenance__descriptor, "Status"},
    {"maintenance/defragment", &etcdserverpb__maintenance__descriptor, "Defragment"},
    {"maintenance/hash", &etcdserverpb__maintenance__descriptor, "Hash"},
    {"maintenance/hashkv", &etcdserverpb__maintenance__descriptor, "HashKV"},
    {"maintenance/snapshot", &etcdserverpb__maintenance__descriptor, "Snapshot"},
    {"maintenance/transfer-leadership", &etcdserverpb__maintenance__descriptor, "MoveLeader"},
    {"maintenance/downgrade", &etcdserverpb__maintenance__descriptor, "Downgrade"},
    {"auth/enable", &etcdserverpb__auth__descriptor, "AuthEnable"},
    {"auth/disable", &etcdserverpb__auth__descriptor, "AuthDisable"},
    {"auth/status", &etcdserverpb__auth__descriptor, "AuthStatus"},
    {"auth/authenticate", &etcdserverpb__auth__descriptor, "Authenticate"},
    {"auth/user/add", &etcdserverpb__auth__descriptor, "UserAdd"},
    {"auth/user/get", &etcdserverpb__auth__descriptor, "UserGet"},
    {"auth/user/list", &etcdserverpb__auth__descriptor, "UserList"},
    {"auth/user/delete", &etcdserverpb__auth__descriptor, "UserDelete"},
    {"auth/user/changepw", &etcdserverpb__auth__descriptor, "UserChangePassword"},
    {"auth/user/grant", &etcdserverpb__auth__descriptor, "UserGrantRole"},
    {"auth/user/revoke", &etcdserverpb__auth__descriptor, "UserRevokeRole"},
    {"auth/role/add", &etcdserverpb__auth__descriptor, "RoleAdd"},
    {"auth/role/get", &etcdserverpb__auth__descriptor, "RoleGet"},
    {"auth/role/list", &etcdserverpb__auth__descriptor, "RoleList"},
    {"auth/role/delete", &etcdserverpb__auth__descriptor, "RoleDelete"},
    {"auth/role/grant", &etcdserverpb__auth__descriptor, "RoleGrantPermission"},
    {"auth/role/revoke", &etcdserverpb__auth__descriptor, "RoleRevokePermission"},
    {"lock/lock", &v3lockpb__lock__descriptor, "Lock"},
    {"lock/unlock", &v3lockpb__lock__descriptor, "Unlock"},
    {"election/campaign", &v3electionpb__election__descriptor, "Campaign"},
    {"election/proclaim", &v3electionpb__election__descriptor, "Proclaim"},
    {"election/leader", &v3electionpb__election__descriptor, "Leader"},
    {"election/observe", &v3electionpb__election__descriptor, "Observe"},
    {"election/resign", &v3electionpb__election__descriptor, "Resign"},
};

const struct gateway_path *gateway_path_find(const char *path)
{
    for (size_t i = 0; i < ARRAY_COUNT(PATHS); i++) {
        if (strcmp(PATHS[i].path, path) == 0) {
            return &PATHS[i];
        }
    }
    return NULL;
}

const struct gateway_path *gateway_path_at(unsigned index)
{
    return index < ARRAY_COUNT(PATHS) ? &PATHS[index] : NULL;
}
