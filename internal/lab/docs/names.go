package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
)

// nameIndex is the exported names of the library's packages, and of its tests.
type nameIndex struct {
	packages map[string]map[string]bool // "bus" → "Config", "Config.StaleAfter", "Postgres.Run"
	any      map[string]bool            // every exported name, field and method by itself
	tests    map[string]bool            // functions of test files
	embedded map[string][]string        // "bus.Tx" → the types of its embedded fields and of what it is an alias of
}

// indexNames collects names from all Go files except those under internal/lab and testdata, and tests from all test files. It
// only parses, so nothing has to build.
func indexNames(r *Repository) *nameIndex {
	index := &nameIndex{
		packages: map[string]map[string]bool{}, any: map[string]bool{}, tests: map[string]bool{}, embedded: map[string][]string{},
	}
	for _, name := range r.order {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			continue
		}

		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(r.Root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			continue // the compiler reports it elsewhere
		}

		switch {
		case strings.HasSuffix(name, "_test.go"):
			index.addTests(file)
		case strings.HasPrefix(name, "internal/"), file.Name.Name == "main":
		default:
			index.addFile(file)
		}
	}

	return index
}

func (x *nameIndex) addTests(file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
			x.tests[f.Name.Name] = true
		}
	}
}

func (x *nameIndex) addFile(file *ast.File) {
	pkg := file.Name.Name
	if x.packages[pkg] == nil {
		x.packages[pkg] = map[string]bool{}
	}

	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				x.add(pkg, "", decl.Name.Name)
			} else {
				x.add(pkg, typeName(decl.Recv.List[0].Type), decl.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				x.addSpec(pkg, spec)
			}
		}
	}
}

func (x *nameIndex) addSpec(pkg string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			x.add(pkg, "", name.Name)
		}
	case *ast.TypeSpec:
		x.add(pkg, "", spec.Name.Name)
		x.addMembers(pkg, spec)
	}
}

func (x *nameIndex) addMembers(pkg string, spec *ast.TypeSpec) {
	var fields *ast.FieldList
	switch underlying := spec.Type.(type) {
	case *ast.StructType:
		fields = underlying.Fields
	case *ast.InterfaceType:
		fields = underlying.Methods
	default:
		x.embed(pkg, spec.Name.Name, underlying)
		return
	}

	for _, field := range fields.List {
		for _, name := range field.Names {
			x.add(pkg, spec.Name.Name, name.Name)
		}
		if len(field.Names) == 0 {
			x.embed(pkg, spec.Name.Name, field.Type)
		}
	}
}

// embed records that a type has the members of another type.
func (x *nameIndex) embed(pkg, name string, other ast.Expr) {
	target := typeName(other)
	if target == "" {
		return
	}
	if !strings.Contains(target, ".") {
		target = pkg + "." + target
	}
	x.embedded[pkg+"."+name] = append(x.embedded[pkg+"."+name], target)
}

func (x *nameIndex) add(pkg, typ, name string) {
	if !ast.IsExported(name) {
		return
	}
	x.any[name] = true
	if typ != "" {
		name = typ + "." + name
	}
	x.packages[pkg][name] = true
}

// has reports whether a package has a name, or one of its types a member.
func (x *nameIndex) has(pkg, name string) bool { return x.find(pkg, name, 0) }

func (x *nameIndex) find(pkg, name string, depth int) bool {
	if x.packages[pkg][name] {
		return true
	}

	typ, member, ok := strings.Cut(name, ".")
	if !ok || depth > 3 {
		return false
	}

	for _, target := range x.embedded[pkg+"."+typ] {
		otherPkg, otherType, _ := strings.Cut(target, ".")
		if x.find(otherPkg, otherType+"."+member, depth+1) {
			return true
		}
	}

	return false
}

// typeName returns the name of a type without pointer and type parameters, "" for others.
func typeName(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr.Name
	case *ast.StarExpr:
		return typeName(expr.X)
	case *ast.IndexExpr:
		return typeName(expr.X)
	case *ast.IndexListExpr:
		return typeName(expr.X)
	case *ast.SelectorExpr:
		if pkg, ok := expr.X.(*ast.Ident); ok {
			return pkg.Name + "." + expr.Sel.Name
		}
	}
	return ""
}
