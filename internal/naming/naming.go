// Package naming holds the rules for what travels under a name: topics, keys and the notification channel. Its errors
// have no prefix: the caller adds its own sentinel.
package naming

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The longest topic and key, in bytes.
const (
	MaxTopicLen = 200
	MaxKeyLen   = 1024
)

// CheckTopic returns an error unless topic is 1 to MaxTopicLen bytes of UTF-8 without NUL.
func CheckTopic(topic string) error {
	if topic == "" {
		return fmt.Errorf("topic is empty")
	}
	if len(topic) > MaxTopicLen {
		return fmt.Errorf("topic %.32q… has %d bytes, at most %d", topic, len(topic), MaxTopicLen)
	}
	return CheckText("topic", topic)
}

// CheckKey returns an error unless key is 0 to MaxKeyLen bytes of UTF-8 without NUL.
func CheckKey(topic, key string) error {
	if len(key) > MaxKeyLen {
		return fmt.Errorf("topic %q: key %.32q… has %d bytes, at most %d", topic, key, len(key), MaxKeyLen)
	}
	if err := CheckText("key", key); err != nil {
		return fmt.Errorf("%w (topic %q)", err, topic)
	}
	return nil
}

// CheckText returns an error unless text is UTF-8 without NUL, which is what Postgres stores.
func CheckText(what, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s %.32q is not valid UTF-8", what, text)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%s %.32q contains NUL", what, text)
	}
	return nil
}

// Channel returns the notification channel of a schema: one per schema, however many caches.
func Channel(schema string) string { return "pgcoherence:" + schema }
