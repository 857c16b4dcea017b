/* SPDX-License-Identifier: Apache-2.0 */
/* Majority arithmetic over plain arrays: what index a quorum holds, how a vote stands. */
#ifndef ENGINE_RAFT_QUORUM_H
#define ENGINE_RAFT_QUORUM_H

#include "base/defs.h"

enum raft_vote_result { RAFT_VOTE_PENDING, RAFT_VOTE_WON, RAFT_VOTE_LOST };

/* How many of count voters make a majority. */
uint32_t raft_quorum_size(uint32_t voter_count);

/* The greatest value that a majority of values has reached; 0 without voters. Reorders values. */
uint64_t raft_quorum_value(uint64_t *values, uint32_t count);

/* How an election among voter_count voters stands; without voters nothing is ever won. */
enum raft_vote_result raft_quorum_vote(uint32_t granted, uint32_t rejected, uint32_t voter_count);

#endif
