package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// topicQuestion names questions that pods put to each other. A key is the id of a question and that of a pod.
const topicQuestion = hook.TopicQuestion

const (
	answerTimeout = 3 * time.Second        // of one reply, reading and writing included
	askFirst      = 10 * time.Millisecond  // until the replies are read for the first time
	askMost       = 150 * time.Millisecond // between two readings of them
	maxQuestions  = 32                     // that wait for this pod; one more is lost, as if the pod did not reply
	maxAsked      = 200                    // pods that one question is put to
)

// Ask implements hook.Correspondent.
func (i insider) Ask(ctx context.Context, question string, pods []string) (map[string]string, error) {
	p := i.p
	if len(pods) > maxAsked {
		pods = pods[:maxAsked]
	}
	id := uuid.NewString()
	if _, err := p.pool.Exec(ctx, p.sql.ask, id, question); err != nil {
		return nil, fmt.Errorf("bus: ask: %w", explain(err))
	}
	defer p.takeBack(ctx, id)

	keys := make([]string, len(pods))
	for n, pod := range pods {
		keys[n] = id + "/" + pod
	}
	if _, err := p.Publish(ctx, Event{Topic: topicQuestion, Keys: keys}); err != nil {
		return nil, err
	}

	replies := make(map[string]string, len(pods))
	for wait := askFirst; len(replies) < len(pods); wait = min(2*wait, askMost) {
		select {
		case <-ctx.Done():
			return replies, nil
		case <-time.After(wait):
		}
		if err := p.readReplies(ctx, id, replies); err != nil && ctx.Err() == nil {
			return replies, err
		}
	}
	return replies, nil
}

func (p *Postgres) readReplies(ctx context.Context, id string, into map[string]string) error {
	known := slices.AppendSeq([]string{}, maps.Keys(into)) // nil would be a null, which no pod is unlike
	rows, err := p.pool.Query(ctx, p.sql.replies, id, known)
	if err != nil {
		return fmt.Errorf("bus: ask: %w", explain(err))
	}
	var pod, reply string
	if _, err := pgx.ForEachRow(rows, []any{&pod, &reply}, func() error {
		into[pod] = reply
		return nil
	}); err != nil {
		return fmt.Errorf("bus: ask: %w", explain(err))
	}
	return nil
}

// takeBack deletes a question, and now and then what others have left behind.
func (p *Postgres) takeBack(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	if _, err := p.pool.Exec(ctx, p.sql.askedDone, id); err != nil {
		p.log.DebugContext(ctx, "question not deleted", slog.Any("error", err))
		return
	}

	now := time.Now().Unix()
	if last := p.askedOld.Load(); now-last > 60 && p.askedOld.CompareAndSwap(last, now) {
		if _, err := p.pool.Exec(ctx, p.sql.askedOld); err != nil {
			p.log.DebugContext(ctx, "old questions not deleted", slog.Any("error", err))
		}
	}
}

// Answer implements hook.Correspondent.
func (i insider) Answer(ctx context.Context, reply func(context.Context, string) string) {
	// The subscriber only notes the id: as long as it has not returned, this pod's position does not move.
	ids := make(chan string, maxQuestions)
	defer i.p.Subscribe(topicQuestion, SubscriberFuncs{OnInvalidate: func(d Delivery) {
		for _, key := range d.Keys {
			id, pod, _ := strings.Cut(key, "/")
			if pod != i.p.ID() || uuid.Validate(id) != nil {
				continue
			}
			select {
			case ids <- id:
			default:
			}
		}
	}})()

	for {
		select {
		case <-ctx.Done():
			return
		case id := <-ids:
			if err := i.p.answer(ctx, id, reply); err != nil && ctx.Err() == nil {
				i.p.log.WarnContext(ctx, "question not answered", slog.Any("error", err))
			}
		}
	}
}

func (p *Postgres) answer(ctx context.Context, id string, reply func(context.Context, string) string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()

	var question string
	err := p.pool.QueryRow(ctx, p.sql.question, id).Scan(&question)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // taken back already
	}
	if err != nil {
		return fmt.Errorf("bus: answer: %w", explain(err))
	}
	if _, err := p.pool.Exec(ctx, p.sql.reply, id, p.ID(), reply(ctx, question)); err != nil {
		return fmt.Errorf("bus: answer: %w", explain(err))
	}

	return nil
}
