"""Rules of this project, for `homeport stack check`: a function check_… yields what is wrong."""


def check_open_ssh(template, stack):
    for name, resource in template["Resources"].items():
        for rule in resource.get("Properties", {}).get("SecurityGroupIngress", ()):
            if isinstance(rule, dict) and rule.get("FromPort") == 22 and rule.get("CidrIp") == "0.0.0.0/0":
                yield f"{name} lets the world in by ssh"
