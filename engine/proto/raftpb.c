/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries, hard state, configuration and snapshots in raftpb. Every decoder has one shape: walk the
 * fields, a known number with another wire type is malformed, an unknown number is skipped.
 */
#include "engine/proto/raftpb.h"

#include "base/assert.h"
#include "engine/proto/pbwire.h"

enum { ENTRY_TYPE = 1, ENTRY_TERM = 2, ENTRY_INDEX = 3, ENTRY_DATA = 4 };
enum { STATE_TERM = 1, STATE_VOTE = 2, STATE_COMMIT = 3 };
enum { CONF_VOTERS = 1, CONF_LEARNERS = 2, CONF_OUTGOING = 3, CONF_NEXT = 4, CONF_AUTO_LEAVE = 5 };
enum { CHANGE_ID = 1, CHANGE_TYPE = 2, CHANGE_NODE = 3, CHANGE_CONTEXT = 4 };
enum { MARK_CONF = 1, MARK_INDEX = 2, MARK_TERM = 3 };
enum { SNAPSHOT_DATA = 1, SNAPSHOT_METADATA = 2 };

size_t raftpb_entry_head_write(const struct raft_entry *entry, uint8_t *out_head)
{
    uint8_t *at = out_head;
    *at++ = ENTRY_TYPE << 3;
    at = pbwire_varint_write(at, (uint64_t)entry->type);
    *at++ = ENTRY_TERM << 3;
    at = pbwire_varint_write(at, entry->term);
    *at++ = ENTRY_INDEX << 3;
    at = pbwire_varint_write(at, entry->index);
    if (entry->payload != NULL) {
        *at++ = ENTRY_DATA << 3 | PBWIRE_BYTES;
        at = pbwire_varint_write(at, entry->payload->size);
    }
    return (size_t)(at - out_head);
}

size_t raftpb_entry_size(const struct raft_entry *entry)
{
    size_t size = pbwire_u64_field_size(ENTRY_TYPE, (uint64_t)entry->type) +
                  pbwire_u64_field_size(ENTRY_TERM, entry->term) +
                  pbwire_u64_field_size(ENTRY_INDEX, entry->index);
    if (entry->payload != NULL) {
        size += pbwire_bytes_field_size(ENTRY_DATA, entry->payload->size);
    }
    return size;
}

void raftpb_entry_encode(const struct raft_entry *entry, struct buf *out)
{
    uint8_t head[RAFTPB_ENTRY_HEAD_BYTES_MAX];
    size_t size = raftpb_entry_head_write(entry, head);
    (void)buf_append(out, head, size);
    struct bytes data = raft_entry_bytes(entry);
    if (data.size != 0) {
        (void)buf_append(out, data.data, data.size);
    }
}

int raftpb_entry_decode(struct bytes wire, struct raft_entry *out_entry)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    uint64_t type = 0;
    uint64_t term = 0;
    uint64_t index = 0;
    struct bytes data = {NULL, 0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > ENTRY_DATA) {
            continue;
        }
        if (!pbwire_is(&field, field.number == ENTRY_DATA ? PBWIRE_BYTES : PBWIRE_VARINT)) {
            return E_INVALID;
        }
        switch (field.number) {
        case ENTRY_TYPE:
            type = field.value;
            break;
        case ENTRY_TERM:
            term = field.value;
            break;
        case ENTRY_INDEX:
            index = field.value;
            break;
        default:
            data = field.bytes;
            break;
        }
    }
    if (rc != 0 || type > RAFT_ENTRY_CONF_CHANGE_V2) {
        return E_INVALID;
    }
    if (data.size > RAFTPB_ENTRY_BYTES_MAX) {
        return E_TOO_BIG;
    }
    *out_entry = (struct raft_entry){
        .index = index,
        .term = term,
        .type = (enum raft_entry_type)type,
        .payload = data.size == 0 ? NULL : raft_payload_new(data),
    };
    return 0;
}

void raftpb_hard_state_encode(const struct raft_hard_state *state, struct buf *out)
{
    pbwire_put_u64(out, STATE_TERM, state->term);
    pbwire_put_u64(out, STATE_VOTE, state->vote);
    pbwire_put_u64(out, STATE_COMMIT, state->commit);
}

int raftpb_hard_state_decode(struct bytes wire, struct raft_hard_state *out_state)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    struct raft_hard_state state = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > STATE_COMMIT) {
            continue;
        }
        if (!pbwire_is(&field, PBWIRE_VARINT)) {
            return E_INVALID;
        }
        if (field.number == STATE_TERM) {
            state.term = field.value;
        } else if (field.number == STATE_VOTE) {
            state.vote = field.value;
        } else {
            state.commit = field.value;
        }
    }
    if (rc != 0) {
        return E_INVALID;
    }
    *out_state = state;
    return 0;
}

void raftpb_conf_state_encode(const struct raft_conf_state *state, struct buf *out)
{
    for (uint32_t i = 0; i < state->voter_count; i++) {
        pbwire_put_u64(out, CONF_VOTERS, state->voters[i]);
    }
    for (uint32_t i = 0; i < state->learner_count; i++) {
        pbwire_put_u64(out, CONF_LEARNERS, state->learners[i]);
    }
    pbwire_put_u64(out, CONF_AUTO_LEAVE, 0);
}

/* Puts id in its place; a second copy or the id 0 is malformed. */
static int id_insert(uint64_t *ids, uint32_t *count, uint64_t id)
{
    if (*count == RAFT_MEMBERS_MAX) {
        return E_TOO_BIG;
    }
    uint32_t at = *count;
    while (at > 0 && ids[at - 1] >= id) {
        if (ids[at - 1] == id) {
            return E_INVALID;
        }
        ids[at] = ids[at - 1];
        at--;
    }
    ids[at] = id;
    (*count)++;
    return id == RAFT_NO_ID ? E_INVALID : 0;
}

/* A repeated uint64, packed or not. */
static int ids_read(const struct pbwire_field *field, uint64_t *ids, uint32_t *count)
{
    if (pbwire_is(field, PBWIRE_VARINT)) {
        return id_insert(ids, count, field->value);
    }
    if (!pbwire_is(field, PBWIRE_BYTES)) {
        return E_INVALID;
    }
    struct pbwire_reader reader = pbwire_reader_of(field->bytes);
    while (reader.at != reader.end) {
        uint64_t id;
        int rc = pbwire_read_varint(&reader, &id);
        if (rc == 0) {
            rc = id_insert(ids, count, id);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int raftpb_conf_state_decode(struct bytes wire, struct raft_conf_state *out_state)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    struct raft_conf_state state = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        switch (field.number) {
        case CONF_VOTERS:
            rc = ids_read(&field, state.voters, &state.voter_count);
            break;
        case CONF_LEARNERS:
            rc = ids_read(&field, state.learners, &state.learner_count);
            break;
        case CONF_OUTGOING:
        case CONF_NEXT:
            rc = E_UNSUPPORTED; /* only written, when not empty, inside joint consensus */
            break;
        case CONF_AUTO_LEAVE:
            rc = !pbwire_is(&field, PBWIRE_VARINT) ? E_INVALID
                 : field.value != 0                ? E_UNSUPPORTED
                                                   : 0;
            break;
        default:
            rc = 0;
            break;
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (rc != 0) {
        return E_INVALID;
    }
    if (state.voter_count + state.learner_count > RAFT_MEMBERS_MAX) {
        return E_TOO_BIG;
    }
    *out_state = state;
    return 0;
}

void raftpb_conf_change_encode(const struct raftpb_conf_change *change, struct buf *out)
{
    pbwire_put_u64(out, CHANGE_ID, change->id);
    pbwire_put_u64(out, CHANGE_TYPE, (uint64_t)change->type);
    pbwire_put_u64(out, CHANGE_NODE, change->node_id);
    if (change->context.size != 0) {
        pbwire_put_bytes(out, CHANGE_CONTEXT, change->context);
    }
}

int raftpb_conf_change_decode(struct bytes wire, struct raftpb_conf_change *out_change)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    uint64_t id = 0;
    uint64_t type = 0;
    uint64_t node = 0;
    struct bytes context = {NULL, 0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > CHANGE_CONTEXT) {
            continue;
        }
        if (!pbwire_is(&field, field.number == CHANGE_CONTEXT ? PBWIRE_BYTES : PBWIRE_VARINT)) {
            return E_INVALID;
        }
        switch (field.number) {
        case CHANGE_ID:
            id = field.value;
            break;
        case CHANGE_TYPE:
            type = field.value;
            break;
        case CHANGE_NODE:
            node = field.value;
            break;
        default:
            context = field.bytes;
            break;
        }
    }
    if (rc != 0 || type > RAFT_CONF_ADD_LEARNER) {
        return E_INVALID;
    }
    *out_change = (struct raftpb_conf_change){id, (enum raft_conf_change_type)type, node, context};
    return 0;
}

/* Two members lists of full-size ids fit many times over. */
#define CONF_BYTES_MAX (RAFT_MEMBERS_MAX * 2u * (PBWIRE_VARINT_BYTES_MAX + 1u) + 16u)

void raftpb_mark_encode(const struct raft_snapshot_mark *mark, struct buf *out)
{
    struct buf conf;
    buf_init(&conf, CONF_BYTES_MAX);
    raftpb_conf_state_encode(&mark->conf_state, &conf);
    ASSERT(!conf.overflowed);
    pbwire_put_bytes(out, MARK_CONF, buf_bytes(&conf));
    pbwire_put_u64(out, MARK_INDEX, mark->index);
    pbwire_put_u64(out, MARK_TERM, mark->term);
    buf_free(&conf);
}

int raftpb_mark_decode(struct bytes wire, struct raft_snapshot_mark *out_mark)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    struct raft_snapshot_mark mark = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > MARK_TERM) {
            continue;
        }
        if (!pbwire_is(&field, field.number == MARK_CONF ? PBWIRE_BYTES : PBWIRE_VARINT)) {
            return E_INVALID;
        }
        if (field.number == MARK_INDEX) {
            mark.index = field.value;
        } else if (field.number == MARK_TERM) {
            mark.term = field.value;
        } else {
            rc = raftpb_conf_state_decode(field.bytes, &mark.conf_state);
            if (rc != 0) {
                return rc;
            }
        }
    }
    if (rc != 0) {
        return E_INVALID;
    }
    *out_mark = mark;
    return 0;
}

void raftpb_snapshot_encode(const struct raft_snapshot_mark *mark, struct bytes data,
                            struct buf *out)
{
    struct buf metadata;
    buf_init(&metadata, CONF_BYTES_MAX + 64u);
    raftpb_mark_encode(mark, &metadata);
    ASSERT(!metadata.overflowed);
    if (data.size != 0) {
        pbwire_put_bytes(out, SNAPSHOT_DATA, data);
    }
    pbwire_put_bytes(out, SNAPSHOT_METADATA, buf_bytes(&metadata));
    buf_free(&metadata);
}

int raftpb_snapshot_decode(struct bytes wire, struct raftpb_snapshot *out_snapshot)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    struct raftpb_snapshot snapshot = {0};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        if (field.number > SNAPSHOT_METADATA) {
            continue;
        }
        if (!pbwire_is(&field, PBWIRE_BYTES)) {
            return E_INVALID;
        }
        if (field.number == SNAPSHOT_DATA) {
            snapshot.data = field.bytes;
            continue;
        }
        rc = raftpb_mark_decode(field.bytes, &snapshot.mark);
        if (rc != 0) {
            return rc;
        }
    }
    if (rc != 0) {
        return E_INVALID;
    }
    *out_snapshot = snapshot;
    return 0;
}
