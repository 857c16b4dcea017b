/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maintenance.Downgrade: whether the cluster's version may go down by one, saying so to all
 * members, and taking it back. Every answer names the version that the cluster has.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/server/rpc.h"
#include "engine/server/version.h"

#define FIELD_DOWNGRADE_INFO_SET 1302u

/* "3.5", "3.5.0" or "3.5.0-rc.1" gives 3005; 0: it is no version. */
static int parse_target(const char *text)
{
    unsigned major;
    unsigned minor;
    unsigned patch;
    int used = 0;
    if (text == NULL) {
        return 0;
    }
    if (sscanf(text, "%3u.%3u.%5u%n", &major, &minor, &patch, &used) != 3 &&
        sscanf(text, "%3u.%3u%n", &major, &minor, &used) != 2) {
        return 0;
    }
    bool ends = text[used] == '\0' || text[used] == '-' || text[used] == '+';
    return ends && text[0] >= '0' && text[0] <= '9' ? (int)(major * 1000 + minor) : 0;
}

static void reply_version(struct server *server, struct request *request)
{
    Etcdserverpb__DowngradeResponse response = ETCDSERVERPB__DOWNGRADE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    char text[24];
    int number = atomic_load(&server->shared.cluster_version);
    snprintf(text, sizeof(text), "%d.%d", number / 1000, number % 1000);
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    response.version = text;
    request_reply_message(server, request, &response.base);
}

static void on_set(struct server *server, struct request *proposal, enum etcd_error error)
{
    struct request *request = proposal->user;
    if (error != ETCD_OK) {
        request_fail(server, request, error);
    } else {
        reply_version(server, request);
    }
}

static void propose_set(struct server *server, struct request *request, int target)
{
    Membershippb__DowngradeInfoSetRequest set = MEMBERSHIPPB__DOWNGRADE_INFO_SET_REQUEST__INIT;
    struct request *proposal = request_internal(on_set);
    char text[24] = "";
    if (target != 0) {
        snprintf(text, sizeof(text), "%d.%d.0", target / 1000, target % 1000);
    }
    set.enabled = target != 0;
    set.ver = text;
    proposal->user = request;
    propose_message(server, proposal, FIELD_DOWNGRADE_INFO_SET, &set.base);
}

/* All that was decided before now is known here. */
static void downgrade_now(struct server *server, struct request *request)
{
    const Etcdserverpb__DowngradeRequest *asked =
        (const Etcdserverpb__DowngradeRequest *)request->message;
    int version = atomic_load(&server->shared.cluster_version);
    int target = (int)request->number_signed;
    bool enabled = membership_downgrade_is_enabled(server->membership);
    if (asked->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL) {
        if (enabled) {
            propose_set(server, request, 0);
        } else {
            reply_version(server, request); /* etcd says no more than that */
        }
    } else if (version % 1000 == 0 || target != version - 1) {
        request_fail(server, request, ETCD_ERR_INVALID_DOWNGRADE_TARGET_VERSION);
    } else if (enabled) {
        request_fail(server, request, ETCD_ERR_DOWNGRADE_IN_PROCESS);
    } else if (asked->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE) {
        propose_set(server, request, target);
    } else {
        reply_version(server, request);
    }
}

void rpc_downgrade(struct server *server, struct request *request)
{
    const Etcdserverpb__DowngradeRequest *asked =
        (const Etcdserverpb__DowngradeRequest *)request->message;
    bool cancels = asked->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    int target = parse_target(asked->version);
    if (asked->action > ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL) {
        request_fail(server, request, ETCD_ERR_UNKNOWN_METHOD);
    } else if (!cancels && target == 0) {
        request_fail(server, request, ETCD_ERR_WRONG_DOWNGRADE_VERSION_FORMAT);
    } else if (atomic_load(&server->shared.cluster_version) == 0) {
        request_fail(server, request, ETCD_ERR_CLUSTER_VERSION_UNAVAILABLE);
    } else {
        request->number_signed = target;
        request->run = downgrade_now;
        read_linearizable(server, request);
    }
}
