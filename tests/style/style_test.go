// Package style checks what no compiler does: rules of this code base that a
// reader relies on.
package style

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// eachFile calls do for every Go file that somebody wrote.
func eachFile(t *testing.T, do func(t *testing.T, name string, src []byte, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		switch {
		case d.IsDir() && (name == "bin" || name == "out" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(name) != ".go", strings.HasSuffix(name, ".pb.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments)
		if err != nil {
			return err
		}
		do(t, name, src, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFormatted(t *testing.T) {
	eachFile(t, func(t *testing.T, name string, src []byte, _ *ast.File) {
		if out, err := format.Source(src); err != nil || string(out) != string(src) {
			t.Errorf("%s isn't formatted: run gofmt -w", name)
		}
	})
}

// TestUnsafeIsMarked keeps package unsafe in files that say so by their name.
func TestUnsafeIsMarked(t *testing.T) {
	eachFile(t, func(t *testing.T, name string, _ []byte, file *ast.File) {
		for _, i := range file.Imports {
			marked := strings.HasSuffix(name, "_unsafe.go") || strings.HasSuffix(name, "_test.go")
			if i.Path.Value == `"unsafe"` && !marked {
				t.Errorf("%s imports unsafe: move that to a file called *_unsafe.go", name)
			}
		}
	})
}

// TestNoInit keeps programs from working before main does.
func TestNoInit(t *testing.T) {
	eachFile(t, func(t *testing.T, name string, _ []byte, file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", name)
			}
		}
	})
}

// TestExportedAreDocumented wants a comment on whatever other packages see,
// save for methods whose names say it all.
func TestExportedAreDocumented(t *testing.T) {
	eachFile(t, func(t *testing.T, name string, _ []byte, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				checkFunction(t, name, d)
			case *ast.GenDecl:
				checkGroup(t, name, d)
			}
		}
	})
}

func checkFunction(t *testing.T, file string, f *ast.FuncDecl) {
	if f.Doc != nil || !f.Name.IsExported() || !receiverExported(f) {
		return
	}
	switch f.Name.Name {
	case "Error", "Unwrap", "String":
	default:
		t.Errorf("%s: %s has no comment", file, f.Name.Name)
	}
}

// checkGroup wants a comment on each type, and on each group of constants or
// variables if not on every one of it.
func checkGroup(t *testing.T, file string, g *ast.GenDecl) {
	for _, s := range g.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && g.Doc == nil {
				t.Errorf("%s: type %s has no comment", file, s.Name.Name)
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && g.Doc == nil {
				t.Errorf("%s: %s has no comment", file, s.Names[0].Name)
			}
		}
	}
}

func receiverExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	ident, ok := typ.(*ast.Ident)
	return ok && ident.IsExported()
}
