package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill"
	wmsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5/pgxpool"
)

// watermillPublisher is watermill-sql's publisher in the transaction, as its
// documentation has it, with its default schema. Nobody subscribes.
type watermillPublisher struct{ pool *pgxpool.Pool }

const watermillTopic = "item"

func (w *watermillPublisher) name() string { return "watermill" }

func (w *watermillPublisher) schema() wmsql.DefaultPostgreSQLSchema {
	return wmsql.DefaultPostgreSQLSchema{}
}

// start also has the publisher make its table, which it does not do within a transaction.
func (w *watermillPublisher) start(ctx context.Context) error {
	publisher, err := wmsql.NewPublisher(wmsql.BeginnerFromPgx(w.pool), wmsql.PublisherConfig{
		SchemaAdapter: w.schema(), AutoInitializeSchema: true,
	}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	if err := publisher.Publish(watermillTopic, w.message(0)); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	if _, err := w.pool.Exec(ctx, `TRUNCATE `+w.schema().MessagesTable(watermillTopic)); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	return nil
}

func (w *watermillPublisher) message(id int64) *message.Message {
	return message.NewMessage(watermill.NewUUID(), []byte(`{"key": "`+strconv.FormatInt(id, 10)+`"}`))
}

func (w *watermillPublisher) transact(ctx context.Context, id int64) error {
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing

	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}

	publisher, err := wmsql.NewPublisher(wmsql.TxFromPgx(tx), wmsql.PublisherConfig{SchemaAdapter: w.schema()}, watermill.NopLogger{})
	if err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	if err := publisher.Publish(watermillTopic, w.message(id)); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}

	return nil
}

func (w *watermillPublisher) stop(ctx context.Context, commits int64) error {
	var rows int64
	if err := w.pool.QueryRow(ctx, `SELECT count(*) FROM `+w.schema().MessagesTable(watermillTopic)).Scan(&rows); err != nil {
		return fmt.Errorf("watermill: %w", err)
	}
	if rows != commits {
		return fmt.Errorf("watermill: %d rows after %d commits", rows, commits)
	}
	return nil
}
