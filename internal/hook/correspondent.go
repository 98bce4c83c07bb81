package hook

import "context"

// Correspondent is a bus whose pods can ask each other questions through the database. The Source of *bus.Postgres
// implements it.
type Correspondent interface {
	// Ask sends a question to pods, given by their ids, and returns the replies by id: all of them, or those that
	// arrived before ctx ended, which is no error. The error is that of the database.
	Ask(ctx context.Context, question string, pods []string) (replies map[string]string, err error)

	// Answer replies to questions for this pod, one at a time, until ctx ends. reply is called with a context of a
	// few seconds.
	Answer(ctx context.Context, reply func(ctx context.Context, question string) string)
}

// TopicQuestion is the topic of a Correspondent's own events. Lists of topics for people omit it.
const TopicQuestion = "pgcoherence.question"
