package main

import (
	"strconv"

	"github.com/pgcoherence/pgcoherence/cache"
)

// topic is what the cache of the table item is called.
const topic = "item"

// Keys of events are numbers behind a letter. Each event carries two: the row, or the tag of its group, and itself, so
// that it can be told whether it arrived.
const (
	dataKey  = 'k'
	eventKey = 'e'
)

func makeKeys(key int, event int64) []string {
	return []string{string(dataKey) + strconv.Itoa(key), string(eventKey) + strconv.FormatInt(event, 10)}
}

// groups is how many tags there are.
const groups = 12

// groupBlock is how many rows share the tags; the next ones have others.
const groupBlock = 48

// groupOf is the tag of a row.
func groupOf(key int) string {
	return "g" + strconv.Itoa(key%groups+key/groupBlock*groups)
}

// keys are those of a write's event.
func (w Write) keys() []string {
	keys := makeKeys(w.Key, w.Version)
	if w.Path == "tag" || w.Path == "rawtag" {
		keys[0] = cache.TagKey(groupOf(w.Key))
	}
	return keys
}

// parseKey answers 0 for what is not one of ours.
func parseKey(text string) (kind byte, n int64) {
	if text == "" {
		return 0, 0
	}
	n, err := strconv.ParseInt(text[1:], 10, 64)
	if err != nil {
		return 0, 0
	}
	return text[0], n
}
