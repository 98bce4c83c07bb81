package cachetest

import (
	"sync"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Cluster is a number of pods in this process. When Publish or Commit returns, the subscribers of all pods have the
// event, unless the test delays it. All methods are safe for concurrent use.
type Cluster struct {
	pods []*Bus

	mu        sync.Mutex // one transaction at a time, all over the cluster
	log       *bus.Local // numbers the transactions, checks and folds their events
	publisher *Bus       // of the transaction under way; nil: none of the pods
	watched   map[string]func()

	// changed is closed and replaced when a pod has applied something.
	changedMu sync.Mutex
	changed   chan struct{}
}

// NewCluster returns a Cluster of n pods, at least one.
func NewCluster(n int) *Cluster {
	c := &Cluster{log: bus.NewLocal(), watched: map[string]func(){}, changed: make(chan struct{})}
	for range max(n, 1) {
		c.pods = append(c.pods, newBus(c))
	}
	c.settle()
	return c
}

// NewBus returns the only pod of a Cluster of one.
func NewBus() *Bus { return NewCluster(1).Bus(0) }

// Bus returns the pod with index i, from 0.
func (c *Cluster) Bus(i int) *Bus { return c.pods[i] }

// Buses returns all pods.
func (c *Cluster) Buses() []*Bus { return append([]*Bus{}, c.pods...) }

// Deliver publishes events from outside of all pods, as a job, a trigger or psql would.
func (c *Cluster) Deliver(events ...bus.Event) error {
	return c.publish(nil, func(log *bus.Local) error {
		_, err := log.Publish(noContext, events...)
		return err
	})
}

// NewEpoch simulates the loss of the log in a crash or failover: every pod is reset, and waiting deliveries are
// dropped.
func (c *Cluster) NewEpoch() {
	c.mu.Lock()
	defer c.mu.Unlock()

	topics := make([]string, 0, len(c.watched))
	for topic, unsubscribe := range c.watched {
		unsubscribe()
		topics = append(topics, topic)
	}

	c.log = bus.NewLocal()
	for _, topic := range topics {
		c.watched[topic] = c.log.Subscribe(topic, tap{cluster: c})
	}

	for _, p := range c.pods {
		p.reset(bus.ReasonEpoch)
	}
	c.settle()
}

// publish has f publish to the log, and takes what comes of it to the pods.
func (c *Cluster) publish(publisher *Bus, f func(*bus.Local) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publisher = publisher
	err := f(c.log)
	c.publisher = nil
	c.settle()
	return err
}

// settle updates the position of every pod. The lock is held.
func (c *Cluster) settle() {
	for _, p := range c.pods {
		p.place()
	}
	c.changedMu.Lock()
	close(c.changed)
	c.changed = make(chan struct{})
	c.changedMu.Unlock()
}

func (c *Cluster) nextChange() <-chan struct{} {
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	return c.changed
}

// watch sees that events of a topic reach the pods.
func (c *Cluster) watch(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[topic] == nil {
		c.watched[topic] = c.log.Subscribe(topic, tap{cluster: c})
	}
}
