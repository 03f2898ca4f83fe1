"""Local modules, as a template's author writes them: what comes out, and what is said where something is wrong."""

import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homeport.errors import HomeportError
from homeport.plan.stack.template import parse
from homeport.stacks.compose import Composer

BUCKET = """
Parameters:
  Name: {Type: String}
  Tags: {Type: Array, Default: []}
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: !Ref Name, Tags: !Ref Tags}
Outputs:
  Arn: {Value: !GetAtt Bucket.Arn}
  Name: {Value: !Ref Bucket}
  Both: {Value: [!Ref Bucket, !Sub "${Bucket.Arn}/${Name}"]}
"""
REGIONAL = """
Parameters: {Large: {Type: Boolean, Default: false}}
Conditions:
  Large: !Equals [!Ref Large, true]
  East: !Equals [!Ref "AWS::Region", us-east-1]
  Both: !And [!Condition East, !Not [!Condition Large]]
Mappings: {Size: {"true": {Type: large}, "false": {Type: small}}, Zone: {us-east-1: {Id: z1}}}
Resources:
  Always:
    Type: A::B::C
    Properties:
      Size: !FindInMap [Size, !Ref Large, Type]
      Zone: !FindInMap [Zone, !Ref "AWS::Region", Id]
      Only: !If [Large, 1, !Ref "AWS::NoValue"]
      Where: !If [East, here, there]
  WhenLarge: {Type: A::B::C, Condition: Large, DependsOn: Always}
  WhenBoth: {Type: A::B::C, Condition: Both}
"""


def composed(tmp_path: Path, template: str, **files: str) -> dict[str, Any]:
    for name, text in {"template": template, "bucket": BUCKET, "regional": REGIONAL, **files}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    body = Composer(tmp_path).compose("template.yaml").body
    assert parse(Composer(tmp_path).compose("template.yaml").text, "sent").body == body
    return body


def test_names_values_and_overrides(tmp_path: Path) -> None:
    body = composed(
        tmp_path,
        """
Parameters: {Env: {Type: String}}
Modules:
  Content:
    Source: ./bucket.yaml
    Properties: {Name: !Sub "${Env}-content", Tags: [{Key: a, Value: b}]}
    Overrides: {Bucket: {Properties: {Tags: [{Key: c, Value: !Ref Other}]}, DeletionPolicy: Retain}}
Resources:
  Other: {Type: A::B::C, DependsOn: Content, Properties: {Both: !GetAtt Content.Both, N: !Sub "x ${Content.Name}"}}
""",
    )
    assert body["Resources"] == {
        "Other": {
            "Type": "A::B::C",
            "DependsOn": ["ContentBucket"],
            "Properties": {
                "Both": [{"Ref": "ContentBucket"}, {"Fn::Sub": "${ContentBucket.Arn}/${Env}-content"}],
                "N": {"Fn::Sub": "x ${ContentBucket}"},
            },
        },
        "ContentBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": {"Fn::Sub": "${Env}-content"},
                "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": {"Ref": "Other"}}],
            },
            "DeletionPolicy": "Retain",
        },
    }
    assert "Modules" not in body


def test_names_of_every_level_stay_apart(tmp_path: Path) -> None:
    outer = """
Parameters: {Bucket: {Type: String}}
Modules: {Inner: {Source: bucket.yaml, Properties: {Name: !Ref Bucket}}}
Outputs: {Arn: {Value: !GetAtt Inner.Arn}}
"""
    body = composed(
        tmp_path,
        """
Modules: {Outer: {Source: outer.yaml, Properties: {Bucket: !Ref InnerBucket}}}
Resources: {InnerBucket: {Type: A::B::C}}
Outputs: {Arn: {Value: !GetAtt Outer.Arn}}
""",
        outer=outer,
    )
    assert body["Resources"]["OuterInnerBucket"]["Properties"]["BucketName"] == {"Ref": "InnerBucket"}
    assert body["Outputs"]["Arn"]["Value"] == {"Fn::GetAtt": ["OuterInnerBucket", "Arn"]}


def test_conditions_are_decided_as_far_as_they_can_be(tmp_path: Path) -> None:
    body = composed(
        tmp_path,
        """
Modules:
  A: {Source: regional.yaml, Properties: {Large: true}}
  B: {Source: regional.yaml}
""",
    )
    resources = body["Resources"]
    assert sorted(resources) == ["AAlways", "AWhenLarge", "BAlways", "BWhenBoth"]
    assert resources["AAlways"]["Properties"] == {
        "Size": "large",
        "Zone": {"Fn::FindInMap": ["AZone", {"Ref": "AWS::Region"}, "Id"]},
        "Only": 1,
        "Where": {"Fn::If": ["AEast", "here", "there"]},
    }
    assert resources["AWhenLarge"] == {"Type": "A::B::C", "DependsOn": "AAlways"}
    assert resources["BWhenBoth"]["Condition"] == "BBoth"
    assert body["Conditions"]["BBoth"] == {"Condition": "BEast"}
    assert sorted(body["Conditions"]) == ["AEast", "BBoth", "BEast"]
    assert sorted(body["Mappings"]) == ["AZone", "BZone"]


def test_a_module_under_a_condition_that_stays_open(tmp_path: Path) -> None:
    body = composed(
        tmp_path,
        """
Parameters: {On: {Type: String}}
Conditions: {IsOn: !Equals [!Ref On, yes]}
Modules: {A: {Source: regional.yaml, Condition: IsOn}}
""",
    )
    assert body["Resources"]["AAlways"]["Condition"] == "IsOn"
    both = body["Conditions"][body["Resources"]["AWhenBoth"]["Condition"]]
    assert both == {"Fn::And": [{"Condition": "IsOn"}, {"Condition": "ABoth"}]}
    assert body["Conditions"]["ABoth"] == {"Condition": "AEast"}


def test_loops(tmp_path: Path) -> None:
    body = composed(
        tmp_path,
        """
Parameters: {Names: {Type: CommaDelimitedList, Default: "a,b"}}
Modules:
  Each: {Source: bucket.yaml, ForEach: !Ref Names, Properties: {Name: "$Identifier-$Index"}}
  Fn::ForEach::By: [It, [x, y-z], {"By&{It}": {Source: bucket.yaml, Properties: {Name: "by-${It}"}}}]
  Map:
    Source: bucket.yaml
    ForEach: {one: {Name: n1, Ports: [1]}, two: {Name: n2, Ports: [2]}}
    Properties: {Name: !Sub "${Value.Name}", Tags: $Value.Ports}
Resources:
  Queue: {Type: A::B::C, ForEach: "p,q", Properties: {N: !Sub "${Identifier}-${AWS::Region}", P: !Ref "Queue[0]"}}
Outputs:
  All: {Value: !GetAtt "Each[*].Arn"}
  One: {Value: !GetAtt Each.b.Name}
  By: {Value: !GetAtt "By[y-z].Name"}
  Queues: {Value: !Join [",", !GetAtt "Queue[*].Arn"]}
""",
    )
    resources = body["Resources"]
    names = {id: each["Properties"].get("BucketName") for id, each in resources.items() if "Bucket" in id}
    assert names == {
        "Each0Bucket": "a-0",
        "Each1Bucket": "b-1",
        "ByxBucket": "by-x",
        "ByyzBucket": "by-y-z",
        "Map0Bucket": "n1",
        "Map1Bucket": "n2",
    }
    assert resources["Map1Bucket"]["Properties"]["Tags"] == [2]
    assert resources["Queue1"]["Properties"] == {"N": {"Fn::Sub": "q-${AWS::Region}"}, "P": {"Ref": "Queue0"}}
    assert body["Outputs"]["All"]["Value"] == [{"Fn::GetAtt": [f"Each{n}Bucket", "Arn"]} for n in (0, 1)]
    assert body["Outputs"]["One"]["Value"] == {"Ref": "Each1Bucket"}
    assert body["Outputs"]["By"]["Value"] == {"Ref": "ByyzBucket"}
    queues = [{"Fn::GetAtt": [f"Queue{n}", "Arn"]} for n in (0, 1)]
    assert body["Outputs"]["Queues"]["Value"] == {"Fn::Join": [",", queues]}


def test_functions_constants_packages_and_inserted_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "kit.zip", "w") as archive:
        archive.writestr("a/label.yaml", LABEL)
    (tmp_path / "script.sh").write_text("#!/bin/sh\nexit 0\n")
    body = composed(
        tmp_path,
        """
Constants: {Prefix: "shop-${AWS::Region}", Tag: [{Key: team, Value: web}]}
Packages: {kit: {Source: ./kit.zip}}
Modules: {Label: {Source: $kit/a/label.yaml, Properties: {App: shop, Kind: a}}}
Resources:
  A:
    Type: A::B::C
    Properties:
      Name: !Sub "${Const::Prefix}-a"
      Tags: !Merge [!Ref "Const::Tag", [{Key: b, Value: c}]]
      Script: !InsertFile script.sh
      First: !Invoke [Label, {Kind: first}, Id]
      Flat: !Flatten {Source: [{n: a, e: [x, y]}], Transform: {Template: $item.n-$e, Variables: {e: "$item.e[*]"}}}
      Grouped: !Flatten {Source: [{k: a, v: 1}, {k: b, v: 2}, {k: a, v: 3}], GroupBy: k}
""",
    )
    assert body["Resources"]["A"]["Properties"] == {
        "Name": {"Fn::Sub": "shop-${AWS::Region}-a"},
        "Tags": [{"Key": "team", "Value": "web"}, {"Key": "b", "Value": "c"}],
        "Script": "#!/bin/sh\nexit 0\n",
        "First": "shop-first",
        "Flat": ["a-x", "a-y"],
        "Grouped": {"a": [{"k": "a", "v": 1}, {"k": "a", "v": 3}], "b": [{"k": "b", "v": 2}]},
    }
    assert list(body["Resources"]) == ["A"]
    assert set(body) == {"Resources"}


LABEL = """
Parameters: {App: {Type: String}, Kind: {Type: String}}
Outputs: {Id: {Value: !Join ["-", [!Ref App, !Ref Kind]]}}
"""


def test_texts_that_look_like_variables_stay_texts(tmp_path: Path) -> None:
    module = """
Parameters: {Text: {Type: String}}
Resources: {A: {Type: A::B::C, Properties: {X: !Sub "${Text}|${AWS::Region}", Y: !Sub "${Text}", Z: !Sub "${!Kept}"}}}
"""
    body = composed(tmp_path, "Modules: {M: {Source: m.yaml, Properties: {Text: 'a ${b} c'}}}\n", m=module)
    properties = body["Resources"]["MA"]["Properties"]
    assert properties == {"X": {"Fn::Sub": "a ${!b} c|${AWS::Region}"}, "Y": "a ${b} c", "Z": "${Kept}"}


def test_a_function_as_a_value_in_a_text(tmp_path: Path) -> None:
    module = "Parameters: {V: {}}\nResources: {A: {Type: A::B::C, Properties: {X: !Sub 'a ${V} b'}}}\n"
    value = '!Join ["-", [!Ref "AWS::Region", x]]'
    body = composed(tmp_path, f"Modules: {{M: {{Source: m.yaml, Properties: {{V: {value}}}}}}}\n", m=module)
    joined = {"Fn::Join": ["-", [{"Ref": "AWS::Region"}, "x"]]}
    assert body["Resources"]["MA"]["Properties"]["X"] == {"Fn::Sub": ["a ${V} b", {"V": joined}]}


def test_what_a_schema_says_of_values(tmp_path: Path) -> None:
    module = """
Parameters: {Net: {Type: Object}}
ParameterSchema:
  Net:
    Type: Object
    Properties: {Cidr: {Type: String, Pattern: "/16$"}, Dns: {Type: Boolean, Default: true}}
Resources: {A: {Type: A::B::C, Properties: {Cidr: !Ref Net.Cidr, Dns: !GetAtt Net.Dns}}}
"""
    good = "Modules: {M: {Source: m.yaml, Properties: {Net: {Cidr: 10.0.0.0/16}}}}\n"
    properties = composed(tmp_path, good, m=module)["Resources"]["MA"]["Properties"]
    assert properties == {"Cidr": "10.0.0.0/16", "Dns": True}
    with pytest.raises(HomeportError, match=r"Net.Cidr: '10.0.0.0/8' doesn't match /16") as error:
        composed(tmp_path, good.replace("10.0.0.0/16", "10.0.0.0/8, Dns: 1"), m=module)
    assert error.value.details == ("Net.Dns: expected Boolean, found 1",)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("Modules: {M: {Source: none.yaml}}", r"template.yaml: no file none.yaml"),
        ("Modules: {M: {Properties: {}}}", r"template.yaml:1:11: the module M names no Source"),
        ("Modules: {M: {Source: bucket.yaml}}", r"bucket.yaml: the parameter Name has no value"),
        (
            "Modules: {M: {Source: bucket.yaml, Properties: {Nmae: a}}}",
            r'template.yaml:1:11: the module M \(bucket.yaml\): there is no parameter Nmae, did you mean "Name"',
        ),
        (
            "Modules: {M: {Source: bucket.yaml, Properties: {Name: a}}}\nOutputs: {A: {Value: !GetAtt M.Anr}}",
            r'the module M has no output Anr, did you mean "Arn"',
        ),
        (
            "Modules: {M: {Source: bucket.yaml, Properties: {Name: a}, Overrides: {Bukcet: {}}}}",
            r'there is no resource Bukcet to override, did you mean "Bucket"',
        ),
        ("Modules: {M: {Source: self.yaml}}", r"in a circle: self.yaml → other.yaml → self.yaml"),
        (
            "Parameters: {L: {Type: String}}\nModules: {M: {Source: bucket.yaml, ForEach: !Ref L}}",
            r"M: ForEach needs a list that is known",
        ),
        ("Modules: {M: {Source: $kit/a.yaml}}", r"the module M: no package kit"),
        (
            "Constants: {A: b}\nResources: {R: {Type: '${Const::A}', X: !Sub '${Const::B}'}}",
            r"no constant B; there is A",
        ),
        (
            "Modules: {A: {Source: bucket.yaml, Properties: {Name: !GetAtt B.In}},"
            " B: {Source: pass.yaml, Properties: {In: !GetAtt C.Out}},"
            " C: {Source: pass.yaml, Properties: {In: !GetAtt B.Out}}}",
            r"in a circle of modules",
        ),
        ("Modules: {M: {Source: bad.yaml}}", r"bad.yaml:2:1: not YAML"),
        ("Resources: {A: {Type: A::B::C, X: !Merge [!Ref P, {}]}}", r"Fn::Merge needs values that are only known"),
    ],
)
def test_mistakes(tmp_path: Path, template: str, expected: str) -> None:
    files = {
        "self": "Modules: {O: {Source: other.yaml}}",
        "other": "Modules: {S: {Source: self.yaml}}",
        "pass": "Parameters: {In: {}}\nOutputs: {Out: {Value: !Ref In}}",
        "bad": "Resources: [",
    }
    with pytest.raises(HomeportError, match=expected):
        composed(tmp_path, template, **files)


def test_a_package_that_is_none(tmp_path: Path) -> None:
    template = "Packages: {kit: {Source: kit.zip}}\nModules: {M: {Source: $kit/b.yaml}}"
    (tmp_path / "kit.zip").write_bytes(b"PK nothing")
    with pytest.raises(HomeportError, match=r"the package kit.zip isn't an archive"):
        composed(tmp_path, template)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.yaml", BUCKET)
    (tmp_path / "kit.zip").write_bytes(buffer.getvalue())
    with pytest.raises(HomeportError, match=r"the package kit.zip has no b.yaml"):
        composed(tmp_path, template)


COMPONENT = """
from dataclasses import dataclass

@dataclass
class Port:
    number: int

def component(name: str, ports: list[Port], vpc: str = "", size: int = 1) -> dict[str, object]:
    rules = [{"FromPort": port.number} for port in ports]
    group = {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupName": name, "VpcId": vpc, "Rules": rules}}
    other = {"Type": "A::B::C", "DependsOn": "Vpc", "Properties": {"Group": {"Ref": "Vpc"}, "Size": size}}
    return {"Resources": {"Vpc": group, "Other": other}, "Outputs": {"Id": {"Value": {"Ref": "Vpc"}}}}
"""


def test_components_in_python(tmp_path: Path) -> None:
    (tmp_path / "group.py").write_text(COMPONENT)
    template = """
Resources: {Vpc: {Type: "AWS::EC2::VPC"}}
Modules: {Web: {Source: group.py, Properties: {name: web, ports: [{number: 80}], vpc: !Ref Vpc, size: "3"}}}
Outputs: {Id: {Value: !GetAtt Web.Id}}
"""
    body = composed(tmp_path, template)
    assert body["Resources"]["WebVpc"]["Properties"] == {
        "GroupName": "web",
        "VpcId": {"Ref": "Vpc"},
        "Rules": [{"FromPort": 80}],
    }
    assert body["Resources"]["WebOther"] == {
        "Type": "A::B::C",
        "DependsOn": "WebVpc",
        "Properties": {"Group": {"Ref": "WebVpc"}, "Size": 3},
    }
    assert body["Outputs"]["Id"]["Value"] == {"Ref": "WebVpc"}
    for change, expected in (
        (("size:", "sise:"), r'group.py: there is no parameter sise, did you mean "size"'),
        (("name: web, ", ""), r"group.py: the parameter name has no value"),
        (('"3"', '"three"'), r"group.py: the parameter size: Expected `int`, got `str`"),
    ):
        with pytest.raises(HomeportError, match=expected):
            composed(tmp_path, template.replace(*change))
    (tmp_path / "group.py").write_text("def component(**x): return 1 / 0\n")
    with pytest.raises(HomeportError, match=r"group.py: "):
        composed(tmp_path, template)
    (tmp_path / "group.py").write_text("def other(): ...\n")
    with pytest.raises(HomeportError, match=r"group.py has no function component"):
        composed(tmp_path, template)


def test_objects_like_troposphere_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = "class Topic:\n    def to_dict(self): return {'Type': 'AWS::SNS::Topic'}\n"
    text = f"{cls}def component(name): return {{'T': Topic(), 'U': {{'Type': 'A::B::C', 'Name': name}}}}\n"
    (tmp_path / "topic.py").write_text(text)
    module = SimpleNamespace(Ref=lambda name: SimpleNamespace(to_dict=lambda: {"Ref": name}))
    monkeypatch.setitem(sys.modules, "troposphere", module)
    body = composed(tmp_path, "Modules: {M: {Source: topic.py, Properties: {name: !Ref T}}}")
    assert body["Resources"] == {"MT": {"Type": "AWS::SNS::Topic"}, "MU": {"Type": "A::B::C", "Name": {"Ref": "T"}}}


def test_user_data_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "boot.sh").write_text("#!/bin/sh\nset -a; X=${HOME}\nboot {{ Name }} {{Bucket.Arn}} {{AWS::Region}}\n")
    module = """
Parameters: {Name: {Type: String}}
Resources: {Bucket: {Type: "AWS::S3::Bucket"}, L: {Type: A::B::C, Properties: {UserData: !UserData boot.sh}}}
"""
    body = composed(tmp_path, "Modules: {M: {Source: m.yaml, Properties: {Name: web}}}", m=module)
    assert body["Resources"]["ML"]["Properties"]["UserData"] == {
        "Fn::Base64": {
            "Fn::Join": [
                "",
                ["#!/bin/sh\n", "set -a; X=${HOME}\n", "boot ", "web", " ", {"Fn::GetAtt": ["MBucket", "Arn"]}, " ",
                 {"Ref": "AWS::Region"}, "\n"],
            ]
        }
    }  # fmt: skip
