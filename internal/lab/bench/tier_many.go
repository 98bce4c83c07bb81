package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// userRow is a value of ordinary size, and what readers get: both sides decode the same JSON.
type userRow struct {
	ID      int64     `json:"id"`
	Name    string    `json:"name"`
	Email   string    `json:"email"`
	Created time.Time `json:"created"`
	Roles   []string  `json:"roles"`
	Note    string    `json:"note"`
}

func newUserRow(id int64, size int) userRow {
	return userRow{
		ID: id, Name: "user " + strconv.FormatInt(id, 10), Email: strconv.FormatInt(id, 10) + "@example.org",
		Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Roles: []string{"reader", "writer"}, Note: strings.Repeat("n", max(size-150, 0)),
	}
}

// manyReader reads many keys at once and decodes them.
type manyReader struct {
	name string
	note string
	read func(ctx context.Context, keys []int64) (map[int64]userRow, error)
	ms   []float64
}

// measureMany adds to the report what reading many keys at once through the tier takes: by GetMany of a cache that holds
// none of them, and by the client that the tier is made of.
func measureMany(ctx context.Context, redis *redistest.Server, plan tierPlan, r *report) (err error) {
	tier, err := redistier.New(&redistier.Config{URL: redis.URL(), KeyPrefix: "many:"})
	if err != nil {
		return err
	}
	defer tier.Close()
	loads := 0
	load := cache.BatchFunc[int64, userRow](func(_ context.Context, keys []int64) (map[int64]cache.Loaded[userRow], error) {
		found := make(map[int64]cache.Loaded[userRow], len(keys))
		for _, key := range keys {
			found[key] = cache.Loaded[userRow]{Value: newUserRow(key, plan.Size)}
		}
		loads += len(keys)
		return found, nil
	})
	c, err := cache.New(bus.NewLocal(), topic, load, &cache.Config[int64, userRow]{Tier: tier, Size: 2 * plan.Many, TierTimeout: time.Second})
	if err != nil {
		return err
	}
	defer c.Close()
	options, err := rueidis.ParseURL(redis.URL())
	if err != nil {
		return err
	}
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		return err
	}
	defer client.Close()

	// Each read asks for the next keys, so that the cache has long dropped them.
	chunks := make([][]int64, 8)
	for i := range chunks {
		for j := range plan.Many {
			chunks[i] = append(chunks[i], int64(i*plan.Many+j))
		}
		if err := fillMany(ctx, c, client, chunks[i], plan.Size); err != nil {
			return err
		}
	}
	if err := eventually(ctx, func() bool { return c.Stats().TierSets == int64(len(chunks)*plan.Many) }); err != nil {
		return fmt.Errorf("the tier is not filled: %w", err)
	}
	loads = 0

	readers := []*manyReader{
		{name: "GetMany of a cache", note: "checks what is invalid, and fills", read: c.GetMany},
		{name: "rueidis MGET", note: "and JSON", read: readMGet(client)},
		{name: "rueidis DoMulti", note: "GETs in a pipeline, and JSON", read: readMulti(client)},
	}
	for round := range plan.Rounds {
		for i := range readers {
			if err := readers[(i+round)%len(readers)].sample(ctx, plan, chunks); err != nil {
				return err
			}
		}
	}
	if stats := c.Stats(); loads > 0 || stats.TierErrors > 0 {
		return fmt.Errorf("%d keys were loaded although the tier has them: %d errors", loads, stats.TierErrors)
	}

	for _, one := range readers {
		f := newFigure("tier.many.ms."+one.name, "ms", one.ms)
		r.add(f)
		r.row(fmt.Sprintf("%s, %d keys", one.name, plan.Many), f.summary, "", one.note)
	}
	for i, name := range []string{"rueidis", "rueidis_pipeline"} {
		rounds, err := ratios(readers[0].ms, readers[i+1].ms)
		if err != nil {
			return err
		}
		f := newFigure("tier.many.ratio."+name, "ratio", rounds)
		r.add(f)
		r.result(f.Name, f.Value)
	}
	return nil
}

// manyPrefix stands before the keys of the client on its own.
const manyPrefix = "bare:"

// fillMany has both sides store the values of keys.
func fillMany(ctx context.Context, c *cache.Cache[int64, userRow], client rueidis.Client, keys []int64, size int) error {
	if _, err := c.GetMany(ctx, keys); err != nil {
		return err
	}
	for _, key := range keys {
		data, err := json.Marshal(newUserRow(key, size))
		if err != nil {
			return err
		}
		if err := client.Do(ctx, client.B().Set().Key(bareName(key)).Value(string(data)).Build()).Error(); err != nil {
			return err
		}
	}
	return nil
}

func bareName(key int64) string { return manyPrefix + strconv.FormatInt(key, 10) }

func readMGet(client rueidis.Client) func(context.Context, []int64) (map[int64]userRow, error) {
	return func(ctx context.Context, keys []int64) (map[int64]userRow, error) {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = bareName(key)
		}

		messages, err := client.Do(ctx, client.B().Mget().Key(names...).Build()).ToArray()
		if err != nil {
			return nil, err
		}

		found := make(map[int64]userRow, len(keys))
		for i := range messages {
			if err := decodeInto(found, keys[i], &messages[i]); err != nil {
				return nil, err
			}
		}

		return found, nil
	}
}

func readMulti(client rueidis.Client) func(context.Context, []int64) (map[int64]userRow, error) {
	return func(ctx context.Context, keys []int64) (map[int64]userRow, error) {
		commands := make(rueidis.Commands, len(keys))
		for i, key := range keys {
			commands[i] = client.B().Get().Key(bareName(key)).Build()
		}

		found := make(map[int64]userRow, len(keys))
		for i, result := range client.DoMulti(ctx, commands...) {
			message, err := result.ToMessage()
			if err == nil {
				err = decodeInto(found, keys[i], &message)
			}
			if err != nil {
				return nil, err
			}
		}

		return found, nil
	}
}

func decodeInto(found map[int64]userRow, key int64, message *rueidis.RedisMessage) error {
	data, err := message.AsBytes()
	if err != nil {
		return err
	}
	var row userRow
	if err := json.Unmarshal(data, &row); err != nil {
		return err
	}
	found[key] = row
	return nil
}

// sample reads for a while, and notes the milliseconds of a read of all keys.
func (m *manyReader) sample(ctx context.Context, plan tierPlan, chunks [][]int64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	reads, begin := 0, time.Now()
	for ; reads == 0 || time.Since(begin) < plan.Length; reads++ {
		keys := chunks[reads%len(chunks)]
		found, err := m.read(ctx, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if len(found) != len(keys) || found[keys[0]].ID != keys[0] {
			return errors.New(m.name + ": not all keys were read")
		}
	}

	m.ms = append(m.ms, time.Since(begin).Seconds()*1e3/float64(reads))
	return nil
}
