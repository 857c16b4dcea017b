/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out of the core: messages that may leave at once, and promises that wait until the state
 * they speak of is durable (Raft paper, figure 2: "updated on stable storage before responding to
 * RPCs").
 */
#include "engine/raft/raft_internal.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/plant.h"

#define ARRAY_CAPACITY_MIN 16u

void *raft_array_grow(void *array, uint32_t *capacity, uint32_t needed, size_t size)
{
    if (needed <= *capacity) {
        return array;
    }
    uint32_t bigger = BASE_MAX(*capacity, ARRAY_CAPACITY_MIN);
    while (bigger < needed) {
        ASSERT(bigger <= UINT32_MAX / 2);
        bigger *= 2;
    }
    *capacity = bigger;
    return mem_realloc(array, (size_t)bigger * size);
}

static void send_stamp(const struct raft *raft, struct raft_message *message)
{
    if (message->from == RAFT_NO_ID) {
        message->from = raft->id;
    }
    /* Proposals and read requests are forwarded as a client's word: they belong to no term. */
    bool carries_term = message->type != RAFT_MSG_PROP && message->type != RAFT_MSG_READ_INDEX;
    if (carries_term && message->term == 0) {
        message->term = raft->term;
    }
}

static void send_put(struct raft *raft, struct raft_message *message)
{
    struct raft_outbox *out = &raft->outbox;
    out->messages =
        raft_array_grow(out->messages, &out->capacity, out->count + 1, sizeof(*out->messages));
    out->messages[out->count++] = *message;
    *message = (struct raft_message){0};
}

void raft_send(struct raft *raft, struct raft_message *message)
{
    ASSERT(message->to != RAFT_NO_ID && message->to != raft->id);
    send_stamp(raft, message);
    send_put(raft, message);
}

bool raft_must_persist(const struct raft *raft)
{
    return raft->conf_unflushed || raft->term != raft->emitted_hard_state.term ||
           raft->vote != raft->emitted_hard_state.vote ||
           raft->log.emitted < raft->log.last_index || raft->install_state == RAFT_INSTALL_WANTED;
}

void raft_send_promise(struct raft *raft, struct raft_message *message)
{
    send_stamp(raft, message);
    if (raft->waiting_count == raft->waiting_capacity) {
        uint32_t old = raft->waiting_capacity;
        raft->waiting = raft_array_grow(raft->waiting, &raft->waiting_capacity, old + 1,
                                        sizeof(*raft->waiting));
        /* Unroll the ring: its wrapped head moves behind the old end, for which doubling leaves
         * room. */
        memcpy(&raft->waiting[old], &raft->waiting[0],
               raft->waiting_start * sizeof(*raft->waiting));
    }
    uint32_t place = (raft->waiting_start + raft->waiting_count) % raft->waiting_capacity;
    raft->waiting[place] = (struct raft_waiting){
        .after_ticket = raft_must_persist(raft) ? raft->next_ticket : raft->last_sync_ticket,
        .message = *message,
    };
    if ((PLANT(ack_before_flush) && message->type == RAFT_MSG_APP_RESP) ||
        (PLANT(vote_before_flush) && message->type == RAFT_MSG_VOTE_RESP)) {
        raft->waiting[place].after_ticket = 0;
    }
    raft->waiting_count++;
    *message = (struct raft_message){0};
}

void raft_release_promises(struct raft *raft)
{
    while (raft->waiting_count > 0 && raft->install_state == RAFT_INSTALL_NONE) {
        struct raft_waiting *first = &raft->waiting[raft->waiting_start];
        if (first->after_ticket > raft->persisted_ticket) {
            return;
        }
        struct raft_message message = first->message;
        raft->waiting_start = (raft->waiting_start + 1) % raft->waiting_capacity;
        raft->waiting_count--;
        if (message.to == raft->id) {
            raft_step_checked(raft, &message); /* the own vote, durable by now */
            raft_message_clear(&message);
        } else {
            send_put(raft, &message);
        }
    }
}
