"""The SCP statements of the demo: the 44 diagnostic ones of PTB-XL, and those of form and rhythm that it uses."""

from __future__ import annotations

COLUMNS = (
    "",
    "description",
    "diagnostic",
    "form",
    "rhythm",
    "diagnostic_class",
    "diagnostic_subclass",
    "Statement Category",
    "SCP-ECG Statement Description",
    "AHA code",
    "aECG REFID",
    "CDISC Code",
    "DICOM Code",
)
"""The columns of PTB-XL's `scp_statements.csv`; its index has no name."""

DIAGNOSTIC: dict[str, tuple[str, str, str]] = {
    "NORM": ("NORM", "NORM", "nothing abnormal"),
    "ALMI": ("MI", "AMI", "infarct, anterolateral"),
    "AMI": ("MI", "AMI", "infarct, anterior"),
    "ASMI": ("MI", "AMI", "infarct, anteroseptal"),
    "ILMI": ("MI", "IMI", "infarct, inferolateral"),
    "IMI": ("MI", "IMI", "infarct, inferior"),
    "IPLMI": ("MI", "IMI", "infarct, inferior, posterior and lateral"),
    "IPMI": ("MI", "IMI", "infarct, inferior and posterior"),
    "LMI": ("MI", "LMI", "infarct, lateral"),
    "PMI": ("MI", "PMI", "infarct, posterior"),
    "INJAL": ("MI", "AMI", "inner-layer injury, anterolateral"),
    "INJAS": ("MI", "AMI", "inner-layer injury, anteroseptal"),
    "INJIL": ("MI", "IMI", "inner-layer injury, inferolateral"),
    "INJIN": ("MI", "IMI", "inner-layer injury, inferior"),
    "INJLA": ("MI", "AMI", "inner-layer injury, lateral"),
    "ANEUR": ("STTC", "STTC", "ST-T as over an aneurysm"),
    "DIG": ("STTC", "STTC", "ST-T as under digitalis"),
    "EL": ("STTC", "STTC", "ST-T as under drugs or salt disorders"),
    "ISC_": ("STTC", "ISC_", "ischaemia, no territory"),
    "ISCAL": ("STTC", "ISCA", "ischaemia, anterolateral"),
    "ISCAN": ("STTC", "ISCA", "ischaemia, anterior"),
    "ISCAS": ("STTC", "ISCA", "ischaemia, anteroseptal"),
    "ISCIL": ("STTC", "ISCI", "ischaemia, inferolateral"),
    "ISCIN": ("STTC", "ISCI", "ischaemia, inferior"),
    "ISCLA": ("STTC", "ISCA", "ischaemia, lateral"),
    "LNGQT": ("STTC", "STTC", "QT too long"),
    "NDT": ("STTC", "STTC", "T abnormal, cause open"),
    "NST_": ("STTC", "NST_", "ST changed, cause open"),
    "1AVB": ("CD", "_AVB", "AV conduction slow (degree 1)"),
    "2AVB": ("CD", "_AVB", "AV conduction failing at times (degree 2)"),
    "3AVB": ("CD", "_AVB", "AV conduction absent (degree 3)"),
    "CLBBB": ("CD", "CLBBB", "left bundle branch blocked"),
    "CRBBB": ("CD", "CRBBB", "right bundle branch blocked"),
    "ILBBB": ("CD", "ILBBB", "left bundle branch partly blocked"),
    "IRBBB": ("CD", "IRBBB", "right bundle branch partly blocked"),
    "IVCD": ("CD", "IVCD", "QRS wide, site of the delay open"),
    "LAFB": ("CD", "LAFB/LPFB", "left anterior fascicle blocked"),
    "LPFB": ("CD", "LAFB/LPFB", "left posterior fascicle blocked"),
    "WPW": ("CD", "WPW", "pre-excitation (Wolff, Parkinson, White)"),
    "LAO/LAE": ("HYP", "LAO/LAE", "left atrium enlarged"),
    "LVH": ("HYP", "LVH", "left ventricle thickened"),
    "RAO/RAE": ("HYP", "RAO/RAE", "right atrium enlarged"),
    "RVH": ("HYP", "RVH", "right ventricle thickened"),
    "SEHYP": ("HYP", "SEHYP", "septum thickened"),
}
"""code -> (class, subclass, description)."""

ALSO_FORM = ("DIG", "LNGQT", "NDT", "NST_")
"""Diagnostic statements that PTB-XL also counts as statements of form."""

FORM = {
    "ABQRS": "QRS abnormal",
    "INVT": "T upside down",
    "LOWT": "T low",
    "LVOLT": "QRS low in most leads",
    "QWAVE": "Q waves",
    "STD_": "ST lowered",
    "STE_": "ST raised",
    "VCLVH": "QRS as high as in left hypertrophy",
}
RHYTHM = {
    "SR": "sinus node leads, 60 to 100 a minute",
    "SARRH": "sinus node leads, unevenly",
    "SBRAD": "sinus node leads, slowly",
    "STACH": "sinus node leads, fast",
}


def statement_rows() -> list[list[object]]:
    """The rows of `scp_statements.csv` below its header; an empty string is an empty cell."""
    rows: list[list[object]] = []
    for code, (class_, subclass, words) in DIAGNOSTIC.items():
        rows.append([code, words, 1.0, 1.0 if code in ALSO_FORM else "", "", class_, subclass])
    rows += [[code, words, "", 1.0, "", "", ""] for code, words in FORM.items()]
    rows += [[code, words, "", "", 1.0, "", ""] for code, words in RHYTHM.items()]
    return [[*row, *[""] * (len(COLUMNS) - len(row))] for row in rows]
