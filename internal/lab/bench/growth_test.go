package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// TestGrowth runs the measurement with next to no data, like TestCommands.
func TestGrowth(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	r, err := measureGrowth(t.Context(), growthPlan{
		Keys: []int{100, 1000}, Tags: []int{0, 2}, Tagged: 100, Events: []int{1, 10}, Topics: []int{1, 5}, Logged: []int{10, 100},
		Sessions: []int{100, 200}, Leases: []int{1, 3}, Samples: 5, Beats: beatPlan{Beats: 1, TTL: lock.MinTTL},
	}, nil)
	require.NoError(t, err)
	requireResults(t, r, "growth.keys.memory_of_an_entry", "growth.keys.a_hit", "growth.tags_of_a_value.memory_of_an_entry",
		"growth.tags_of_a_value.ending_a_tag", "growth.events_of_a_transaction.commit_for_each_event", "growth.topics_of_a_pod.from_commit_to_delivery",
		"growth.events_in_the_log.a_transaction_with_an_event", "growth.sessions.a_read_that_no_memory_serves", "growth.sessions.the_list_of_a_user",
		"growth.leases_of_a_process.a_beat_that_renews_all")
	require.Len(t, r.Charts, 1)
	require.Len(t, r.Charts[0].Panels[0].Lines, len(r.Results))
	require.Len(t, r.rows, 1+2*len(r.Results), "a header, and sizes by costs")
}
