/* SPDX-License-Identifier: Apache-2.0 */
/* The quota of the key space: who would pass it is refused, and the NOSPACE alarm goes to all
 * members. */
#include "base/log.h"
#include "engine/server/internal.h"

#define FIELD_ALARM 10u

bool quota_has_room(const struct server *server, uint64_t cost)
{
    int64_t quota = server->config->quota_backend_bytes;
    if (quota < 0) {
        return true;
    }
    uint64_t limit = quota == 0 ? (uint64_t)CONFIG_QUOTA_DEFAULT : (uint64_t)quota;
    return server->store_used_bytes + mvcc_tail_bytes(server->mvcc) + cost < limit;
}

void quota_raise_alarm(struct server *server)
{
    struct alarm alarm = {server->member_id, ETCDSERVERPB__ALARM_TYPE__NOSPACE};
    if (alarms_has(&server->alarms, alarm) || server->raising_alarm) {
        return;
    }
    LOG_WARN("the quota of the key space is reached: compact, defragment, then disarm the alarm",
             LOG_U64("used-bytes", server->store_used_bytes),
             LOG_I64("quota-bytes", server->config->quota_backend_bytes));
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    request.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    request.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    request.memberid = server->member_id;
    server->raising_alarm = true;
    propose_message(server, request_internal(quota_alarm_raised), FIELD_ALARM, &request.base);
}

void quota_alarm_raised(struct server *server, struct request *request, enum etcd_error error)
{
    (void)request;
    (void)error; /* tried again by the next write that finds no room */
    server->raising_alarm = false;
}
