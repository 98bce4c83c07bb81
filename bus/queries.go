package bus

import (
	"embed"

	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

//go:embed query/*.sql
var queryFiles embed.FS

// queries are the statements of the bus, rendered for one schema.
type queries struct {
	beat, beats, confirm, createEpoch, deregister, difference, differenceNames, differenceTopics, history, insertEvent, insertEvents, lease, notify, pods, positions, prune,
	privileges, pruned, tidy, keep, kept, reap, register, transaction, ask, question, reply, replies, askedDone, askedOld, measure string
}

func loadQueries(schema string) *queries {
	load := func(name string) string { return sqltext.Load(queryFiles, "query/"+name+".sql", schema) }
	return &queries{
		beat: load("beat"), beats: load("beats"), confirm: load("confirm"), createEpoch: load("create_epoch"), deregister: load("deregister"),
		difference: load("difference"), differenceNames: load("difference_names"), differenceTopics: load("difference_topics"), insertEvent: load("insert_event"),
		history: load("history"), insertEvents: load("insert_events"), lease: load("lease"), notify: load("notify"), pods: load("pods"), positions: load("positions"), prune: load("prune"),
		privileges: load("privileges"), pruned: load("pruned"), tidy: load("tidy"), keep: load("keep"), kept: load("kept"), reap: load("reap"), register: load("register"), transaction: load("transaction"),
		ask: load("ask"), question: load("question"), reply: load("reply"), replies: load("replies"), askedDone: load("asked_done"), askedOld: load("asked_old"), measure: load("measure"),
	}
}
