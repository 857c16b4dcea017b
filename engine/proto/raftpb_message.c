/* SPDX-License-Identifier: Apache-2.0 */
/* raftpb.Message: what one member says to another. */
#include "base/alloc.h"
#include "base/assert.h"
#include "engine/proto/pbwire.h"
#include "engine/proto/raftpb.h"

enum {
    MSG_TYPE = 1,
    MSG_TO = 2,
    MSG_FROM = 3,
    MSG_TERM = 4,
    MSG_LOG_TERM = 5,
    MSG_INDEX = 6,
    MSG_ENTRIES = 7,
    MSG_COMMIT = 8,
    MSG_SNAPSHOT = 9,
    MSG_REJECT = 10,
    MSG_REJECT_HINT = 11,
    MSG_CONTEXT = 12,
    MSG_VOTE = 13,
};

static bool carries_context_as_entry(uint64_t type)
{
    return type == RAFT_MSG_READ_INDEX || type == RAFT_MSG_READ_INDEX_RESP;
}

/* Field 7 for the context of a read: an entry of zeros with the context as data. */
static void read_context_encode(const struct raft_message *message, struct buf *out)
{
    struct bytes context = bytes_of(message->context, message->context_size);
    struct raft_entry empty = {0};
    uint8_t head[RAFTPB_ENTRY_HEAD_BYTES_MAX];
    size_t head_size = raftpb_entry_head_write(&empty, head);
    pbwire_put_bytes_head(out, MSG_ENTRIES, head_size + pbwire_bytes_field_size(4, context.size));
    (void)buf_append(out, head, head_size);
    pbwire_put_bytes(out, 4, context);
}

static void snapshot_encode(const struct raft_message *message, struct buf *out)
{
    struct bytes data = {NULL, 0};
    if (message->snapshot_data != NULL) {
        data = bytes_of(message->snapshot_data->data, message->snapshot_data->size);
    }
    /* Metadata is small; data is written straight into out once its size is known. */
    struct buf metadata;
    buf_init(&metadata, BUF_NO_LIMIT);
    raftpb_mark_encode(message->snapshot, &metadata);
    size_t size = pbwire_bytes_field_size(2, metadata.size);
    if (data.size != 0) {
        size += pbwire_bytes_field_size(1, data.size);
    }
    pbwire_put_bytes_head(out, MSG_SNAPSHOT, size);
    if (data.size != 0) {
        pbwire_put_bytes(out, 1, data);
    }
    pbwire_put_bytes(out, 2, buf_bytes(&metadata));
    buf_free(&metadata);
}

void raftpb_message_encode(const struct raft_message *message, struct buf *out)
{
    ASSERT(message->context_size <= RAFT_CONTEXT_BYTES_MAX);
    pbwire_put_u64(out, MSG_TYPE, (uint64_t)message->type);
    pbwire_put_u64(out, MSG_TO, message->to);
    pbwire_put_u64(out, MSG_FROM, message->from);
    pbwire_put_u64(out, MSG_TERM, message->term);
    pbwire_put_u64(out, MSG_LOG_TERM, message->log_term);
    pbwire_put_u64(out, MSG_INDEX, message->index);
    bool as_entry = carries_context_as_entry(message->type);
    if (as_entry) {
        ASSERT(message->entry_count == 0);
        read_context_encode(message, out);
    }
    for (uint32_t i = 0; i < message->entry_count; i++) {
        pbwire_put_bytes_head(out, MSG_ENTRIES, raftpb_entry_size(&message->entries[i]));
        raftpb_entry_encode(&message->entries[i], out);
    }
    pbwire_put_u64(out, MSG_COMMIT, message->commit);
    if (message->snapshot != NULL) {
        snapshot_encode(message, out);
    }
    pbwire_put_u64(out, MSG_REJECT, message->reject ? 1 : 0);
    pbwire_put_u64(out, MSG_REJECT_HINT, message->reject_hint);
    if (!as_entry && message->context_size != 0) {
        pbwire_put_bytes(out, MSG_CONTEXT, bytes_of(message->context, message->context_size));
    }
    pbwire_put_u64(out, MSG_VOTE, message->vote);
}

size_t raftpb_message_size(const struct raft_message *message)
{
    size_t entries = 0;
    for (uint32_t i = 0; i < message->entry_count; i++) {
        entries += pbwire_bytes_field_size(MSG_ENTRIES, raftpb_entry_size(&message->entries[i]));
    }
    /* All else is small: measure it by writing it. */
    struct raft_message rest = *message;
    rest.entry_count = 0;
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    raftpb_message_encode(&rest, &out);
    size_t size = out.size + entries;
    buf_free(&out);
    return size;
}

static int context_set(struct raft_message *message, struct bytes context)
{
    if (context.size > RAFT_CONTEXT_BYTES_MAX) {
        return E_TOO_BIG;
    }
    if (context.size != 0) {
        memcpy(message->context, context.data, context.size);
    }
    message->context_size = (uint8_t)context.size;
    return 0;
}

static int entry_add(struct raft_message *message, uint32_t *capacity, struct bytes wire)
{
    if (message->entry_count == RAFTPB_MESSAGE_ENTRIES_MAX) {
        return E_TOO_BIG;
    }
    struct raft_entry entry;
    int rc = raftpb_entry_decode(wire, &entry);
    if (rc != 0) {
        return rc;
    }
    if (message->entry_count == *capacity) {
        *capacity = *capacity == 0 ? 4u : *capacity * 2u;
        message->entries =
            mem_realloc(message->entries, (size_t)*capacity * sizeof(message->entries[0]));
    }
    message->entries[message->entry_count++] = entry;
    return 0;
}

static int snapshot_set(struct raft_message *message, struct bytes wire)
{
    struct raftpb_snapshot snapshot;
    int rc = raftpb_snapshot_decode(wire, &snapshot);
    if (rc != 0) {
        return rc;
    }
    mem_free(message->snapshot);
    raft_payload_unref(message->snapshot_data);
    message->snapshot = mem_dup(&snapshot.mark, sizeof(snapshot.mark));
    message->snapshot_data = snapshot.data.size == 0 ? NULL : raft_payload_new(snapshot.data);
    return 0;
}

/* Fields that are plain numbers; NULL for all others. */
static uint64_t *number_at(struct raft_message *message, uint32_t number)
{
    switch (number) {
    case MSG_TO:
        return &message->to;
    case MSG_FROM:
        return &message->from;
    case MSG_TERM:
        return &message->term;
    case MSG_LOG_TERM:
        return &message->log_term;
    case MSG_INDEX:
        return &message->index;
    case MSG_COMMIT:
        return &message->commit;
    case MSG_REJECT_HINT:
        return &message->reject_hint;
    case MSG_VOTE:
        return &message->vote;
    default:
        return NULL;
    }
}

/* What the first pass finds: the fields whose meaning hangs on the type come after it. */
struct draft {
    struct raft_message message;
    uint64_t type;
    uint32_t entry_capacity;
    struct bytes snapshot;
    bool has_snapshot;
};

static int field_take(struct draft *draft, const struct pbwire_field *field)
{
    struct raft_message *message = &draft->message;
    if (field->number > MSG_VOTE) {
        return 0;
    }
    bool is_bytes = field->number == MSG_ENTRIES || field->number == MSG_SNAPSHOT ||
                    field->number == MSG_CONTEXT;
    if (!pbwire_is(field, is_bytes ? PBWIRE_BYTES : PBWIRE_VARINT)) {
        return E_INVALID;
    }
    switch (field->number) {
    case MSG_TYPE:
        draft->type = field->value;
        return 0;
    case MSG_ENTRIES:
        return entry_add(message, &draft->entry_capacity, field->bytes);
    case MSG_SNAPSHOT:
        draft->snapshot = field->bytes;
        draft->has_snapshot = true;
        return 0;
    case MSG_REJECT:
        message->reject = field->value != 0;
        return 0;
    case MSG_CONTEXT:
        return context_set(message, field->bytes);
    default:
        *number_at(message, field->number) = field->value;
        return 0;
    }
}

/* The entry of a read request becomes its context. */
static int read_context_take(struct raft_message *message)
{
    if (message->entry_count > 1) {
        return E_INVALID;
    }
    if (message->entry_count == 0) {
        return 0;
    }
    int rc = context_set(message, raft_entry_bytes(&message->entries[0]));
    raft_payload_unref(message->entries[0].payload);
    mem_free(message->entries);
    message->entries = NULL;
    message->entry_count = 0;
    return rc;
}

int raftpb_message_decode(struct bytes wire, struct raft_message *out_message)
{
    struct pbwire_reader reader = pbwire_reader_of(wire);
    struct pbwire_field field;
    struct draft draft = {.type = RAFT_MSG_HUP};
    int rc;
    while ((rc = pbwire_next(&reader, &field)) > 0) {
        rc = field_take(&draft, &field);
        if (rc != 0) {
            break;
        }
    }
    if (rc == 0 && draft.type > RAFT_MSG_PRE_VOTE_RESP) {
        rc = E_UNSUPPORTED;
    }
    if (rc == 0) {
        draft.message.type = (enum raft_message_type)draft.type;
        if (carries_context_as_entry(draft.type)) {
            rc = read_context_take(&draft.message);
        }
    }
    if (rc == 0 && draft.type == RAFT_MSG_SNAP && draft.has_snapshot) {
        rc = snapshot_set(&draft.message, draft.snapshot);
    }
    if (rc != 0) {
        raft_message_clear(&draft.message);
        return rc;
    }
    *out_message = draft.message;
    return 0;
}
