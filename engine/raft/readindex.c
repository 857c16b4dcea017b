/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linearizable reads without the log: ReadIndex of dissertation 6.4, never by clock. The heartbeat
 * that asks a quorum "am I still leader" carries a round number of our own as its context (8
 * bytes); members of any implementation echo it.
 */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/plant.h"

void raft_reads_free(struct raft_reads *reads)
{
    mem_free(reads->items);
    *reads = (struct raft_reads){0};
}

void raft_reads_clear(struct raft_reads *reads)
{
    reads->count = 0;
    reads->unsent = false;
}

bool raft_reads_add(struct raft_reads *reads, uint64_t from, struct bytes context, uint64_t index,
                    uint64_t round)
{
    ASSERT(context.size <= RAFT_CONTEXT_BYTES_MAX);
    if (reads->count >= RAFT_READS_WAITING_MAX) {
        return false;
    }
    reads->items =
        raft_array_grow(reads->items, &reads->capacity, reads->count + 1, sizeof(*reads->items));
    struct raft_read *read = &reads->items[reads->count++];
    *read = (struct raft_read){.from = from, .index = index, .round = round};
    read->state.context_size = (uint8_t)context.size;
    if (context.size != 0) {
        memcpy(read->state.context, context.data, context.size);
    }
    reads->unsent = reads->unsent || round != RAFT_ROUND_PARKED;
    return true;
}

void raft_reads_unpark(struct raft_reads *reads, uint64_t commit)
{
    for (uint32_t i = 0; i < reads->count; i++) {
        if (reads->items[i].round == RAFT_ROUND_PARKED) {
            reads->items[i].round = reads->round_sent + 1;
            reads->items[i].index = commit;
            reads->unsent = true;
        }
    }
}

uint32_t raft_reads_confirmed(const struct raft_reads *reads, uint64_t round)
{
    uint32_t count = 0;
    while (count < reads->count && reads->items[count].round != RAFT_ROUND_PARKED &&
           reads->items[count].round <= round) {
        count++;
    }
    return count;
}

void raft_reads_drop(struct raft_reads *reads, uint32_t count)
{
    ASSERT(count <= reads->count);
    reads->count -= count;
    if (count > 0 && reads->count > 0) {
        memmove(reads->items, reads->items + count, reads->count * sizeof(*reads->items));
    }
}

static void read_answer(struct raft *raft, const struct raft_read *read)
{
    if (read->from == raft->id) {
        struct raft_read_state state = read->state;
        state.index = read->index;
        raft_push_read_state(raft, &state);
        return;
    }
    struct raft_message answer = {
        .type = RAFT_MSG_READ_INDEX_RESP,
        .to = read->from,
        .index = read->index,
        .context_size = read->state.context_size,
    };
    memcpy(answer.context, read->state.context, answer.context_size);
    raft_send(raft, &answer);
}

/* Counts voters only; the leader itself confirms a round by having sent it. */
void raft_confirm_reads(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER);
    uint64_t acks[RAFT_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (!raft->members[i].is_learner) {
            acks[count++] = raft->members[i].read_ack;
        }
    }
    uint64_t round =
        PLANT(read_without_quorum) ? raft->reads.round_sent : raft_quorum_value(acks, count);
    uint32_t confirmed = raft_reads_confirmed(&raft->reads, round);
    for (uint32_t i = 0; i < confirmed; i++) {
        read_answer(raft, &raft->reads.items[i]);
    }
    raft_reads_drop(&raft->reads, confirmed);
}

void raft_flush_reads(struct raft *raft)
{
    if (raft->role != RAFT_LEADER || !raft->reads.unsent) {
        return;
    }
    struct raft_progress *self = raft_member(raft, raft->id);
    raft->reads.unsent = false;
    raft->reads.round_sent++;
    if (self != NULL) { /* NULL: it leads up to the end of its own removal, and does not count */
        self->read_ack = raft->reads.round_sent;
    }
    if (raft_voter_count(raft) > 1 || !raft_is_voter(raft, raft->id)) {
        raft_send_heartbeats(raft, raft->reads.round_sent);
    }
    raft_confirm_reads(raft);
}

/* Dissertation 6.4, step 1: before the no-op is committed the leader's commit index may be behind
 * what its predecessor acknowledged. This holds for a single member as well. */
void raft_release_parked_reads(struct raft *raft)
{
    ASSERT(raft_committed_in_term(raft)); /* nothing else is committed by counting */
    raft_reads_unpark(&raft->reads, raft->log.commit);
}

static bool read_enqueue(struct raft *raft, uint64_t from, struct bytes context)
{
    bool ready = raft_committed_in_term(raft);
    return raft_reads_add(&raft->reads, from, context, ready ? raft->log.commit : 0,
                          ready ? raft->reads.round_sent + 1 : RAFT_ROUND_PARKED);
}

static void read_forward(struct raft *raft, uint64_t from, struct bytes context)
{
    struct raft_message ask = {
        .type = RAFT_MSG_READ_INDEX,
        .to = raft->leader,
        .from = from,
        .context_size = (uint8_t)context.size,
    };
    if (context.size != 0) {
        memcpy(ask.context, context.data, context.size);
    }
    raft_send(raft, &ask);
}

void raft_handle_read_index(struct raft *raft, const struct raft_message *message)
{
    struct bytes context = bytes_of(message->context, message->context_size);
    if (raft_member(raft, message->from) == NULL) {
        return;
    }
    if (raft->role == RAFT_LEADER) {
        (void)read_enqueue(raft, message->from, context); /* full: the asker asks again */
    } else if (raft->leader != RAFT_NO_ID && raft->leader != message->from) {
        read_forward(raft, message->from, context);
    }
}

int raft_read_index(struct raft *raft, struct bytes context)
{
    if (context.size > RAFT_CONTEXT_BYTES_MAX) {
        return E_TOO_BIG;
    }
    if (raft->role == RAFT_LEADER) {
        return read_enqueue(raft, raft->id, context) ? E_OK : E_AGAIN;
    }
    if (raft->leader == RAFT_NO_ID) {
        return E_UNAVAILABLE;
    }
    read_forward(raft, raft->id, context);
    return E_OK;
}

void raft_handle_read_index_resp(struct raft *raft, const struct raft_message *message)
{
    if (raft->role != RAFT_FOLLOWER || message->from != raft->leader ||
        raft_suspect_take_answer(raft, message)) {
        return;
    }
    struct raft_read_state state = {
        .index = message->index,
        .context_size = message->context_size,
    };
    memcpy(state.context, message->context, message->context_size);
    raft_push_read_state(raft, &state);
}
