/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every error that a client of etcd can tell apart: its gRPC code and its text. Clients compare the
 * text letter by letter, so the table is part of the wire format. A few are declared with one code
 * in etcd's client library and yet sent as Unknown by its server; the table holds what is sent.
 */
#ifndef ENGINE_PROTO_ETCD_ERROR_H
#define ENGINE_PROTO_ETCD_ERROR_H

#include "base/defs.h"
#include "engine/proto/grpc_code.h"

/* X(name, code, text) */
#define ETCD_ERRORS(X)                                                                             \
    X(ETCD_OK, GRPC_OK, "")                                                                        \
    X(ETCD_ERR_EMPTY_KEY, GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided")                \
    X(ETCD_ERR_KEY_NOT_FOUND, GRPC_INVALID_ARGUMENT, "etcdserver: key not found")                  \
    X(ETCD_ERR_VALUE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: value is provided")             \
    X(ETCD_ERR_LEASE_PROVIDED, GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided")             \
    X(ETCD_ERR_TOO_MANY_OPS, GRPC_INVALID_ARGUMENT,                                                \
      "etcdserver: too many operations in txn request")                                            \
    X(ETCD_ERR_DUPLICATE_KEY, GRPC_INVALID_ARGUMENT,                                               \
      "etcdserver: duplicate key given in txn request")                                            \
    X(ETCD_ERR_INVALID_CLIENT_API_VERSION, GRPC_INVALID_ARGUMENT,                                  \
      "etcdserver: invalid client api version")                                                    \
    X(ETCD_ERR_INVALID_SORT_OPTION, GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option")      \
    X(ETCD_ERR_COMPACTED, GRPC_OUT_OF_RANGE,                                                       \
      "etcdserver: mvcc: required revision has been compacted")                                    \
    X(ETCD_ERR_FUTURE_REV, GRPC_OUT_OF_RANGE,                                                      \
      "etcdserver: mvcc: required revision is a future revision")                                  \
    X(ETCD_ERR_NO_SPACE, GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded")     \
    X(ETCD_ERR_LEASE_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: requested lease not found")           \
    X(ETCD_ERR_LEASE_EXIST, GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists")          \
    X(ETCD_ERR_LEASE_TTL_TOO_LARGE, GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL")          \
    X(ETCD_ERR_LEASE_NOT_PRIMARY, GRPC_UNKNOWN, "not a primary lessor")                            \
    X(ETCD_ERR_WATCH_CANCELED, GRPC_CANCELED, "etcdserver: watch canceled")                        \
    X(ETCD_ERR_MEMBER_EXIST, GRPC_FAILED_PRECONDITION, "etcdserver: member ID already exist")      \
    X(ETCD_ERR_PEER_URL_EXIST, GRPC_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists")   \
    X(ETCD_ERR_MEMBER_NOT_ENOUGH_STARTED, GRPC_UNKNOWN,                                            \
      "etcdserver: re-configuration failed due to not enough started members")                     \
    X(ETCD_ERR_MEMBER_BAD_URLS, GRPC_INVALID_ARGUMENT,                                             \
      "etcdserver: given member URLs are invalid")                                                 \
    X(ETCD_ERR_MEMBER_NOT_FOUND, GRPC_NOT_FOUND, "etcdserver: member not found")                   \
    X(ETCD_ERR_MEMBER_NOT_LEARNER, GRPC_FAILED_PRECONDITION,                                       \
      "etcdserver: can only promote a learner member")                                             \
    X(ETCD_ERR_LEARNER_NOT_READY, GRPC_FAILED_PRECONDITION,                                        \
      "etcdserver: can only promote a learner member which is in sync with leader")                \
    X(ETCD_ERR_TOO_MANY_LEARNERS, GRPC_FAILED_PRECONDITION,                                        \
      "etcdserver: too many learner members in cluster")                                           \
    X(ETCD_ERR_CLUSTER_ID_MISMATCH, GRPC_FAILED_PRECONDITION, "etcdserver: cluster ID mismatch")   \
    X(ETCD_ERR_REQUEST_TOO_LARGE, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large")       \
    X(ETCD_ERR_TOO_MANY_REQUESTS, GRPC_UNKNOWN, "etcdserver: too many requests")                   \
    X(ETCD_ERR_ROOT_USER_NOT_EXIST, GRPC_FAILED_PRECONDITION,                                      \
      "etcdserver: root user does not exist")                                                      \
    X(ETCD_ERR_ROOT_ROLE_NOT_EXIST, GRPC_FAILED_PRECONDITION,                                      \
      "etcdserver: root user does not have root role")                                             \
    X(ETCD_ERR_USER_ALREADY_EXIST, GRPC_FAILED_PRECONDITION,                                       \
      "etcdserver: user name already exists")                                                      \
    X(ETCD_ERR_USER_EMPTY, GRPC_INVALID_ARGUMENT, "etcdserver: user name is empty")                \
    X(ETCD_ERR_USER_NOT_FOUND, GRPC_FAILED_PRECONDITION, "etcdserver: user name not found")        \
    X(ETCD_ERR_ROLE_ALREADY_EXIST, GRPC_FAILED_PRECONDITION,                                       \
      "etcdserver: role name already exists")                                                      \
    X(ETCD_ERR_ROLE_NOT_FOUND, GRPC_FAILED_PRECONDITION, "etcdserver: role name not found")        \
    X(ETCD_ERR_ROLE_EMPTY, GRPC_INVALID_ARGUMENT, "etcdserver: role name is empty")                \
    X(ETCD_ERR_AUTH_FAILED, GRPC_INVALID_ARGUMENT,                                                 \
      "etcdserver: authentication failed, invalid user ID or password")                            \
    X(ETCD_ERR_NO_PASSWORD_USER, GRPC_UNKNOWN,                                                     \
      "auth: authentication failed, password was given for no password user")                      \
    X(ETCD_ERR_PERMISSION_NOT_GIVEN, GRPC_INVALID_ARGUMENT, "etcdserver: permission not given")    \
    X(ETCD_ERR_PERMISSION_DENIED, GRPC_PERMISSION_DENIED, "etcdserver: permission denied")         \
    X(ETCD_ERR_ROLE_NOT_GRANTED, GRPC_FAILED_PRECONDITION,                                         \
      "etcdserver: role is not granted to the user")                                               \
    X(ETCD_ERR_PERMISSION_NOT_GRANTED, GRPC_FAILED_PRECONDITION,                                   \
      "etcdserver: permission is not granted to the role")                                         \
    X(ETCD_ERR_AUTH_NOT_ENABLED, GRPC_FAILED_PRECONDITION,                                         \
      "etcdserver: authentication is not enabled")                                                 \
    X(ETCD_ERR_INVALID_AUTH_TOKEN, GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token")         \
    X(ETCD_ERR_INVALID_AUTH_MGMT, GRPC_INVALID_ARGUMENT, "etcdserver: invalid auth management")    \
    X(ETCD_ERR_AUTH_OLD_REVISION, GRPC_INVALID_ARGUMENT,                                           \
      "etcdserver: revision of auth store is old")                                                 \
    X(ETCD_ERR_AUTH_VERIFY_ONLY, GRPC_UNKNOWN,                                                     \
      "auth: token signing attempted with verify-only key")                                        \
    X(ETCD_ERR_NO_LEADER, GRPC_UNAVAILABLE, "etcdserver: no leader")                               \
    X(ETCD_ERR_NOT_LEADER, GRPC_FAILED_PRECONDITION, "etcdserver: not leader")                     \
    X(ETCD_ERR_LEADER_CHANGED, GRPC_UNAVAILABLE, "etcdserver: leader changed")                     \
    X(ETCD_ERR_NOT_CAPABLE, GRPC_FAILED_PRECONDITION, "etcdserver: not capable")                   \
    X(ETCD_ERR_STOPPED, GRPC_UNAVAILABLE, "etcdserver: server stopped")                            \
    X(ETCD_ERR_TIMEOUT, GRPC_UNAVAILABLE, "etcdserver: request timed out")                         \
    X(ETCD_ERR_TIMEOUT_LEADER_FAIL, GRPC_UNAVAILABLE,                                              \
      "etcdserver: request timed out, possibly due to previous leader failure")                    \
    X(ETCD_ERR_TIMEOUT_CONNECTION_LOST, GRPC_UNAVAILABLE,                                          \
      "etcdserver: request timed out, possibly due to connection lost")                            \
    X(ETCD_ERR_TIMEOUT_WAIT_APPLIED, GRPC_UNAVAILABLE,                                             \
      "etcdserver: request timed out, waiting for the applied index took too long")                \
    X(ETCD_ERR_TIMEOUT_LEADER_TRANSFER, GRPC_UNKNOWN,                                              \
      "etcdserver: request timed out, leader transfer took too long")                              \
    X(ETCD_ERR_UNHEALTHY, GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster")                       \
    X(ETCD_ERR_CORRUPT, GRPC_DATA_LOSS, "etcdserver: corrupt cluster")                             \
    X(ETCD_ERR_NOT_SUPPORTED_FOR_LEARNER, GRPC_FAILED_PRECONDITION,                                \
      "etcdserver: rpc not supported for learner")                                                 \
    X(ETCD_ERR_BAD_LEADER_TRANSFEREE, GRPC_FAILED_PRECONDITION,                                    \
      "etcdserver: bad leader transferee")                                                         \
    X(ETCD_ERR_WRONG_DOWNGRADE_VERSION_FORMAT, GRPC_INVALID_ARGUMENT,                              \
      "etcdserver: wrong downgrade target version format")                                         \
    X(ETCD_ERR_INVALID_DOWNGRADE_TARGET_VERSION, GRPC_INVALID_ARGUMENT,                            \
      "etcdserver: invalid downgrade target version")                                              \
    X(ETCD_ERR_CLUSTER_VERSION_UNAVAILABLE, GRPC_FAILED_PRECONDITION,                              \
      "etcdserver: cluster version not found during downgrade")                                    \
    X(ETCD_ERR_DOWNGRADE_IN_PROCESS, GRPC_FAILED_PRECONDITION,                                     \
      "etcdserver: cluster has a downgrade job in progress")                                       \
    X(ETCD_ERR_NO_INFLIGHT_DOWNGRADE, GRPC_FAILED_PRECONDITION,                                    \
      "etcdserver: no inflight downgrade job")                                                     \
    X(ETCD_ERR_CANCELED, GRPC_CANCELED, "etcdserver: request canceled")                            \
    X(ETCD_ERR_DEADLINE_EXCEEDED, GRPC_DEADLINE_EXCEEDED, "etcdserver: context deadline exceeded") \
    X(ETCD_ERR_UNKNOWN_METHOD, GRPC_UNKNOWN, "etcdserver: unknown method")                         \
    X(ETCD_ERR_RANGE_STREAM_SORT, GRPC_UNIMPLEMENTED,                                              \
      "RangeStream does not support custom sort orders")                                           \
    X(ETCD_ERR_RANGE_STREAM_FILTER, GRPC_UNIMPLEMENTED,                                            \
      "RangeStream does not support revision filters")                                             \
    X(ETCD_ERR_ELECTION_NO_LEADER_KEY, GRPC_UNKNOWN, "\"leader\" field must be provided")          \
    X(ETCD_ERR_ELECTION_NO_LEADER, GRPC_UNKNOWN, "election: no leader")                            \
    X(ETCD_ERR_ELECTION_NOT_LEADER, GRPC_UNKNOWN, "election: not leader")

enum etcd_error {
#define X(name, code, text) name,
    ETCD_ERRORS(X)
#undef X
        ETCD_ERR_COUNT
};

/* The code and text that the client is sent. ETCD_OK gives GRPC_OK and "". */
enum grpc_code etcd_error_code(enum etcd_error error);
const char *etcd_error_text(enum etcd_error error);

/* The error with this text, as a member that forwarded a request must map it back; false when none.
 */
bool etcd_error_find(const char *text, enum etcd_error *out_error);

#endif
