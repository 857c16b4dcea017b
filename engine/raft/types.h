/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Raft speaks of: entries, hard state, configuration, snapshots marks and messages, with the
 * numbers of etcd's raftpb, so that the codec in engine/peer and engine/wal is a plain mapping.
 */
#ifndef ENGINE_RAFT_TYPES_H
#define ENGINE_RAFT_TYPES_H

#include "base/bytes.h"
#include "base/defs.h"

#define RAFT_MEMBERS_MAX 32u /* voters and learners together */
#define RAFT_NO_ID       0u

enum raft_entry_type {
    RAFT_ENTRY_NORMAL = 0,
    RAFT_ENTRY_CONF_CHANGE = 1,
    RAFT_ENTRY_CONF_CHANGE_V2 = 2
};

/* The bytes of an entry, shared by the log, the WAL writer and the senders. Reference count is
 * atomic. */
struct raft_payload {
    _Atomic uint32_t references;
    uint32_t size;
    uint8_t data[];
};

/* Gives a payload with one reference and a copy of bytes. */
struct raft_payload *raft_payload_new(struct bytes bytes);
struct raft_payload *raft_payload_ref(struct raft_payload *payload); /* NULL gives NULL */
void raft_payload_unref(struct raft_payload *payload);               /* NULL allowed */

/* An entry holds one reference of its payload; payload NULL is the empty entry. */
struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_type type;
    struct raft_payload *payload;
};

static inline struct bytes raft_entry_bytes(const struct raft_entry *entry)
{
    return entry->payload == NULL ? (struct bytes){NULL, 0}
                                  : bytes_of(entry->payload->data, entry->payload->size);
}

struct raft_hard_state {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
};

/* Voters and learners, each sorted ascending. */
struct raft_conf_state {
    uint64_t voters[RAFT_MEMBERS_MAX];
    uint64_t learners[RAFT_MEMBERS_MAX];
    uint32_t voter_count;
    uint32_t learner_count;
};

enum raft_conf_change_type {
    RAFT_CONF_ADD_NODE = 0, /* adds a voter, or promotes a learner */
    RAFT_CONF_REMOVE_NODE = 1,
    RAFT_CONF_UPDATE_NODE = 2,
    RAFT_CONF_ADD_LEARNER = 3,
};

struct raft_conf_change {
    enum raft_conf_change_type type;
    uint64_t node_id;
};

struct raft_snapshot_mark {
    uint64_t index;
    uint64_t term;
    struct raft_conf_state conf_state;
};

/* raftpb.MessageType; the local ones (hup, beat, unreachable, snap-status, check-quorum) are never
 * sent. */
enum raft_message_type {
    RAFT_MSG_HUP = 0,
    RAFT_MSG_BEAT = 1,
    RAFT_MSG_PROP = 2,
    RAFT_MSG_APP = 3,
    RAFT_MSG_APP_RESP = 4,
    RAFT_MSG_VOTE = 5,
    RAFT_MSG_VOTE_RESP = 6,
    RAFT_MSG_SNAP = 7,
    RAFT_MSG_HEARTBEAT = 8,
    RAFT_MSG_HEARTBEAT_RESP = 9,
    RAFT_MSG_UNREACHABLE = 10,
    RAFT_MSG_SNAP_STATUS = 11,
    RAFT_MSG_CHECK_QUORUM = 12,
    RAFT_MSG_TRANSFER_LEADER = 13,
    RAFT_MSG_TIMEOUT_NOW = 14,
    RAFT_MSG_READ_INDEX = 15,
    RAFT_MSG_READ_INDEX_RESP = 16,
    RAFT_MSG_PRE_VOTE = 17,
    RAFT_MSG_PRE_VOTE_RESP = 18,
};

#define RAFT_CONTEXT_BYTES_MAX 32u

/*
 * A message owns its entries array (mem_free) with one payload reference each. context is the read
 * index request (8 bytes), "CampaignTransfer" on votes, or empty. For RAFT_MSG_READ_INDEX(_RESP)
 * the codec carries context as the data of a single entry, as etcd does. snapshot_data is the
 * envelope's Snapshot.Data (filled and read by the shell only).
 */
struct raft_message {
    enum raft_message_type type;
    uint64_t to;
    uint64_t from;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t vote;
    uint64_t reject_hint;
    bool reject;
    uint8_t context_size;
    uint8_t context[RAFT_CONTEXT_BYTES_MAX];
    struct raft_entry *entries;
    uint32_t entry_count;
    struct raft_snapshot_mark *snapshot; /* owned (mem_free); RAFT_MSG_SNAP only */
    struct raft_payload *snapshot_data;  /* one reference */
};

/* Frees what the message owns and zeroes it. */
void raft_message_clear(struct raft_message *message);

#endif
