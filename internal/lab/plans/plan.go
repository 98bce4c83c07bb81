package plans

import (
	"fmt"
	"slices"
	"strings"
)

// Node is a node of a plan, as EXPLAIN (FORMAT JSON) writes it.
type Node struct {
	Type         string   `json:"Node Type"`
	Relationship string   `json:"Parent Relationship"`
	Subplan      string   `json:"Subplan Name"` // "CTE name", "InitPlan 1 …", "SubPlan 1"
	Relation     string   `json:"Relation Name"`
	CTE          string   `json:"CTE Name"`
	Index        string   `json:"Index Name"`
	IndexCond    string   `json:"Index Cond"`
	TIDCond      string   `json:"TID Cond"`
	GroupKey     []string `json:"Group Key"`
	Strategy     string   `json:"Strategy"`
	Plans        []*Node  `json:"Plans"`
}

// Critic finds the parts of a plan whose cost grows faster than the statement's arguments.
type Critic struct {
	// Small tables have a row or a few, whatever the size of the database.
	Small []string

	ctes map[string]*Node
}

// Complaints lists what is wrong with a plan: joins that read a whole list for each element of another list, and full scans
// of tables that grow.
func (c Critic) Complaints(root *Node) (all []string) {
	c.ctes = map[string]*Node{}
	c.collect(root)
	c.visit(root, false, &all)
	slices.Sort(all)
	return slices.Compact(all)
}

func (c Critic) collect(n *Node) {
	if name, ok := strings.CutPrefix(n.Subplan, "CTE "); ok {
		c.ctes[name] = n
	}
	for _, child := range n.Plans {
		c.collect(child)
	}
}

// visit checks a node. again says that it is executed once for each row of another node.
func (c Critic) visit(n *Node, again bool, all *[]string) {
	if again && c.isList(n) {
		*all = append(*all, fmt.Sprintf("%s is read once for each row of another list", c.describe(n)))
	}
	if n.Type == "Seq Scan" && !slices.Contains(c.Small, n.Relation) {
		*all = append(*all, c.describe(n)+" reads a table that grows")
	}

	for i, child := range n.Plans {
		repeated := again
		switch {
		case strings.HasPrefix(child.Subplan, "CTE "), strings.HasPrefix(child.Subplan, "InitPlan"):
			repeated = false // computed once
		case child.Relationship == "SubPlan":
			repeated = again || !c.isSingle(n)
		case n.Type == "Nested Loop" && i == c.innerOf(n):
			repeated = again || !c.isSingle(n.Plans[c.outerOf(n)])
		}

		c.visit(child, repeated, all)
	}
}

func (c Critic) outerOf(n *Node) int {
	return slices.IndexFunc(n.Plans, func(p *Node) bool { return p.Relationship == "Outer" })
}

func (c Critic) innerOf(n *Node) int {
	return slices.IndexFunc(n.Plans, func(p *Node) bool { return p.Relationship == "Inner" })
}

// isList reports whether the number of a leaf's rows grows with the arguments or the table. That is every leaf but look-ups
// by an index and leaves with a single row.
func (c Critic) isList(n *Node) bool {
	switch n.Type {
	case "CTE Scan":
		return !c.isSingle(n)
	case "Function Scan", "Values Scan", "WorkTable Scan":
		return true
	case "Seq Scan":
		return !slices.Contains(c.Small, n.Relation)
	case "Index Scan", "Index Only Scan", "Bitmap Index Scan":
		return n.IndexCond == ""
	}
	return false
}

// isSingle reports whether a node has at most one row by its form, and not by an estimate.
func (c Critic) isSingle(n *Node) bool {
	switch n.Type {
	case "Result":
		return len(n.Plans) == 0 || c.isSingle(n.Plans[0])
	case "Aggregate":
		return n.Strategy == "Plain"
	case "CTE Scan":
		cte := c.ctes[n.CTE]
		return cte != nil && c.isSingle(cte)
	case "Seq Scan", "Index Scan", "Index Only Scan":
		return slices.Contains(c.Small, n.Relation)
	case "Limit", "LockRows", "ModifyTable", "Subquery Scan", "Materialize", "Memoize", "Sort":
		return len(n.Plans) > 0 && c.isSingle(n.Plans[0])
	case "Nested Loop":
		return c.isSingle(n.Plans[c.outerOf(n)]) && c.isSingle(n.Plans[c.innerOf(n)])
	}
	return false
}

func (c Critic) describe(n *Node) string {
	return strings.TrimSpace(n.Type + " " + n.Relation + n.CTE)
}
